"""What the tests of step time share: a machine, a model, a plan, and the shipped coefficients."""

from dataclasses import replace
from typing import Any

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import StepTime
from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.residual import NOTHING_LEARNT
from irongrid.cost.step import step_time
from irongrid.domain.fleet import Level, Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.spec.catalog import accelerator, load_coefficients

SHIPPED = Coefficients.from_json(load_coefficients())
FORMULAS = replace(SHIPPED, residual=NOTHING_LEARNT)
GPT3 = ModelShape(
    layers=96, hidden=12288, heads=96, kv_heads=96, ffn=49152, vocab=51200, gated=False
)
LLAMA_8B = ModelShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256, tied=False
)


def pool(device: str = "A100-80GB", nodes: int = 128, **changes: Any) -> Pool:
    """Nodes of eight with NVLink inside and one NIC for each device."""
    chip = accelerator(device)
    net = changes.pop("net_bytes_per_s", 25e9)
    levels = (
        Level(name="node", devices=8, bytes_per_s=chip.link_bytes_per_s, latency_s=2e-6),
        Level(name="site", devices=8 * nodes, bytes_per_s=net, latency_s=8e-6),
    )
    made = Pool(name="p", accelerator=chip, nodes=nodes, devices_per_node=8, levels=levels)
    return replace(made, **changes)


def plan(**changes: Any) -> ParallelPlan:
    """GPT-3 on 64 devices as Korthikanti et al. ran it, but for the changes."""
    usual: dict[str, Any] = {
        "world_size": 64, "dp_replicate": 1, "dp_shard": 1, "micro_batch": 1, "grad_accum": 64,
        "pp": 8, "tp": 8, "schedule": "interleaved", "virtual_stages": 3, "zero": "none",
        "recompute": "selective",
    }  # fmt: skip
    return ParallelPlan(**{**usual, **changes})


def time_of(
    plans: list[ParallelPlan],
    *,
    model: ModelShape = GPT3,
    machines: Pool | None = None,
    runtime: str = "megatron",
    precision: str = "bf16",
    seq_len: int = 2048,
    coefficients: Coefficients = FORMULAS,
) -> StepTime:
    """Step time of plans that share a model and machines."""
    training = Training(
        global_batch=plans[0].global_batch, seq_len=seq_len, precision=precision, runtime=runtime
    )
    machine = machine_of(machines or pool(), training)
    return step_time(work_of(model, training), machine, layout_of(plans), coefficients)
