"""Models, pools and plans of published layouts, for the tests of exports."""

from dataclasses import dataclass, replace

from irongrid.domain.fleet import Accelerator, Level, Pool
from irongrid.domain.model import Experts, Latent, ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training

GB = 10**9


def device(name: str = "H100", generation: str = "hopper", host: str = "x86") -> Accelerator:
    return Accelerator(
        name=name,
        generation=generation,
        memory_bytes=80 * GB,
        memory_bytes_per_s=3.35e12,
        flops_per_s={"bf16": 989e12, "fp8": 1979e12},
        link_bytes_per_s=450e9,
        host_bytes_per_s=64e9,
        peak_watts=700.0,
        idle_watts=70.0,
        host=host,
    )


def pool(nodes: int, accelerator: Accelerator | None = None, per_node: int = 8) -> Pool:
    """Nodes of eight devices on one InfiniBand switch."""
    return Pool(
        name="pool",
        accelerator=accelerator or device(),
        nodes=nodes,
        devices_per_node=per_node,
        levels=(
            Level(name="node", devices=per_node, bytes_per_s=450e9, latency_s=1e-6, link="nvlink"),
            Level(name="site", devices=nodes * per_node, bytes_per_s=50e9, latency_s=5e-6),
        ),
    )


LLAMA3_405B = ModelShape(
    layers=126, hidden=16384, heads=128, kv_heads=8, ffn=53248, vocab=128256, tied=False
)
GPT3_175B = ModelShape(
    layers=96,
    hidden=12288,
    heads=96,
    kv_heads=96,
    ffn=49152,
    vocab=51200,
    gated=False,
    positions=2048,
)
DEEPSEEK_V3 = ModelShape(
    layers=61,
    hidden=7168,
    heads=128,
    kv_heads=128,
    ffn=18432,
    vocab=129280,
    tied=False,
    head_dim=128,
    prediction_layers=1,
    experts=Experts(
        count=256,
        top_k=8,
        ffn=2048,
        shared_ffn=2048,
        dense_layers=3,
        groups=8,
        groups_per_token=4,
    ),
    latent=Latent(query_rank=1536, kv_rank=512, rotary_dim=64, value_dim=128),
)
MIXTRAL_8X7B = ModelShape(
    layers=32,
    hidden=4096,
    heads=32,
    kv_heads=8,
    ffn=14336,
    vocab=32000,
    tied=False,
    experts=Experts(count=8, top_k=2, ffn=14336),
)
LLAMA3_8B = ModelShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256, tied=False
)
TINY = ModelShape(layers=2, hidden=64, heads=4, kv_heads=2, ffn=128, vocab=256, tied=False)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A plan with all that an export needs."""

    plan: ParallelPlan
    model: ModelShape
    training: Training
    pool: Pool

    def but(self, **changes: object) -> "Case":
        """The same case with another plan."""
        return replace(self, plan=replace(self.plan, **changes))  # type: ignore[arg-type]


def case(
    model: ModelShape, world: int, seq_len: int, *, on: Pool | None = None, **plan: object
) -> Case:
    """A plan of so many ranks; its data parallelism is what the other axes leave."""
    degrees = {axis: int(str(plan.get(axis, 1))) for axis in ("pp", "cp", "tp", "dp_replicate")}
    inner = degrees["pp"] * degrees["cp"] * degrees["tp"] * degrees["dp_replicate"]
    fields: dict[str, object] = {
        "world_size": world,
        "dp_replicate": 1,
        "dp_shard": world // inner,
        "micro_batch": 1,
        "grad_accum": 1,
        "precision": "bf16",
    }
    made = ParallelPlan(**(fields | plan))  # type: ignore[arg-type]
    training = Training(global_batch=made.global_batch, seq_len=seq_len, precision=made.precision)
    return Case(plan=made, model=model, training=training, pool=on or pool(max(1, world // 8)))


# Megatron-LM, SC'21, arXiv:2104.04473, table 1 and section 5.4 (2021-04): 175B on 1,536 A100.
GPT3_PAPER = case(
    GPT3_175B,
    1536,
    2048,
    tp=8,
    pp=12,
    grad_accum=96,
    zero="1",
    schedule="interleaved",
    virtual_stages=2,
    recompute="full",
    on=pool(192, device("A100-80GB", "ampere")),
)
# "The Llama 3 Herd of Models", arXiv:2407.21783, table 4 (2024-07): 405B on 16,384 H100.
LLAMA3_PAPER = case(
    LLAMA3_405B,
    16384,
    8192,
    tp=8,
    pp=16,
    grad_accum=16,
    zero="1",
    stage_layers=(7, *[8] * 14, 7),
)
# DeepSeek-V3 technical report, arXiv:2412.19437, section 3.2 (2024-12): PP 16, EP 64, ZeRO-1 on
# 2,048 H800; its DualPipe stood by 1F1B with two pieces, as Megatron-Core's recipe does.
DEEPSEEK_PAPER = case(
    DEEPSEEK_V3,
    2048,
    4096,
    pp=16,
    ep=64,
    grad_accum=120,
    zero="1",
    stage_layers=(*[4] * 13, *[3] * 3),
    on=pool(256, device("H800")),
)
MIXTRAL = case(MIXTRAL_8X7B, 64, 4096, tp=2, pp=4, ep=8, grad_accum=16, zero="1")
