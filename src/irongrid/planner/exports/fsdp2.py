"""Plain PyTorch: a script of DeviceMesh, tensor parallelism and FSDP2 that runs as it stands.

Written against torch 2.13 (2026-07): `torch.distributed.fsdp.fully_shard` and
`torch.distributed.tensor.parallel`.
"""

from collections.abc import Iterator

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.exports import compile as compiling
from irongrid.planner.exports import nccl
from irongrid.planner.exports.fsdp2_script import MARK, SCRIPT
from irongrid.planner.exports.launch import sourced, torchrun
from irongrid.planner.exports.refusals import AMD, NVIDIA

FILE = "train_fsdp2.py"
_OPTIMIZERS = {
    "adam": "lambda weights, lr: torch.optim.AdamW(weights, lr, betas=(0.9, 0.95))",
    "sgd": "lambda weights, lr: torch.optim.SGD(weights, lr, momentum=0.9)",
}


def obstacles(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> Iterator[str]:
    """What the script has no place for."""
    if pool.accelerator.generation not in NVIDIA | AMD | {"cpu"}:
        yield f"{pool.accelerator.name}, where it needs CUDA, ROCm or a CPU"
    if plan.rank_map != "node-major":
        yield f"rank_map={plan.rank_map}; it counts ranks node by node"
    if plan.precision == "fp16":
        yield "fp16, which needs a loss scaler; bf16 does not"
    if training.optimizer not in _OPTIMIZERS:
        yield f"the optimizer {training.optimizer}"
    if training.lora_rank or training.frozen_share:
        yield "frozen weights"
    if plan.offload != "none" and plan.offload_tier != "host":
        yield f"offload to {plan.offload_tier}"
    if model.experts is not None or model.latent is not None or not model.gated:
        yield "experts, latent attention or a feed-forward layer without a gate"
    if model.window or model.positions or model.prediction_layers:
        yield "local attention, learned positions or layers that predict further tokens"
    if plan.tp > 1 and not plan.sequence_parallel:
        yield "tensor parallelism without sequence parallelism"
    for name, heads in (("query", model.heads), ("key-value", model.kv_heads)):
        if heads % plan.tp:
            yield f"tp={plan.tp}, which does not divide {heads} {name} heads"
    if training.seq_len % plan.tp:
        yield f"tp={plan.tp}, which does not divide {training.seq_len} tokens"


def constants(plan: ParallelPlan, model: ModelShape, training: Training) -> dict[str, str]:
    """Names and values of the script's plan."""
    sharded = plan.zero == "fsdp"
    half = plan.precision == "bf16"
    values = {
        "LAYERS": model.layers,
        "HIDDEN": model.hidden,
        "HEADS": model.heads,
        "KV_HEADS": model.kv_heads,
        "HEAD": model.head,
        "FFN": model.ffn,
        "VOCAB": model.vocab,
        "TIED": model.tied,
        "SEQ_LEN": training.seq_len,
        "MICRO_BATCH": plan.micro_batch,
        "GRAD_ACCUM": plan.grad_accum,
        "DP_REPLICATE": plan.dp_replicate if sharded else plan.dp,
        "DP_SHARD": plan.dp_shard if sharded else 1,
        "TP": plan.tp,
        "RECOMPUTE": plan.recompute == "full",
        "OFFLOAD": plan.offload == "parameters",
        "TF32": plan.precision == "tf32",
        "COMPILE": True,
    }
    written = {name: repr(value) for name, value in values.items()}
    written["PARAM_DTYPE"] = "torch.bfloat16" if half else "torch.float32"
    written["OPTIMIZER"] = _OPTIMIZERS[training.optimizer]
    return written


def script(plan: ParallelPlan, model: ModelShape, training: Training) -> str:
    """The script with the plan's sizes in it."""
    lines = "".join(
        f"{name} = {value}\n" for name, value in constants(plan, model, training).items()
    )
    return SCRIPT.replace(MARK, lines)


def export(plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool) -> dict[str, str]:
    """The script, its launcher and the advice."""
    return {
        FILE: script(plan, model, training),
        "launch.sh": torchrun(plan, pool, f'{FILE} "$@"', sourced(nccl.FILE)),
        nccl.FILE: nccl.environment(plan, pool),
        compiling.FILE: compiling.advice("fsdp2", plan, model, training, pool),
    }
