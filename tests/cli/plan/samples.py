"""Hand-made plans, so that what is shown can be checked without a search."""

from dataclasses import replace
from typing import Any

from irongrid.cli.plan.report import Report
from irongrid.domain.curve import CurvePoint, ScalingCurve
from irongrid.domain.fleet import Accelerator, Fleet, Level, Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.answer import Answer, Effort, PricedPlan, StageMemory
from irongrid.planner.matrix import CommunicationMatrix, Flow
from irongrid.planner.rank_map import rank_map

GIB = 2**30

MODEL = ModelShape(
    layers=126, hidden=16384, heads=128, kv_heads=8, ffn=53248, vocab=128256, tied=False
)
H100 = Accelerator(
    name="H100",
    generation="hopper",
    memory_bytes=80 * GIB,
    memory_bytes_per_s=3.35e12,
    flops_per_s={"bf16": 989e12, "fp8": 1979e12},
    link_bytes_per_s=450e9,
    host_bytes_per_s=64e9,
    peak_watts=700.0,
    idle_watts=70.0,
)
POOL = Pool(
    name="h100",
    accelerator=H100,
    nodes=2048,
    devices_per_node=8,
    levels=(
        Level(name="node", devices=8, bytes_per_s=450e9, latency_s=2e-6, link="nvlink"),
        Level(name="site", devices=16384, bytes_per_s=50e9, latency_s=8e-6),
    ),
)


def node_of(devices: int) -> Fleet:
    """One node, with a price."""
    level = replace(POOL.levels[0], devices=devices)
    pool = replace(
        POOL, nodes=1, devices_per_node=devices, levels=(level,), usd_per_device_h=2.5,
        host_memory_bytes=2**40, node_watts=1000.0,
    )  # fmt: skip
    return Fleet(name="one node", pools=(pool,))


FLEET = Fleet(name="h100-16k", pools=(POOL,))
PLAN = ParallelPlan(
    world_size=16384,
    pp=16,
    tp=8,
    dp_replicate=128,
    dp_shard=1,
    micro_batch=1,
    grad_accum=16,
    schedule="interleaved",
    virtual_stages=2,
    precision="bf16",
    zero="1",
    stage_layers=(7, *(8,) * 14, 7),
    runnable_by=("megatron", "torchtitan"),
)
# Every further stage keeps a GiB of activations less; the last one has the output layer.
STAGES = tuple(
    StageMemory(
        pool="h100",
        stage=stage,
        peak_memory_bytes=(64 - stage) * GIB,
        peak_memory_bytes_p95=(70 - stage) * GIB,
        parts_bytes={
            "weights": 6 * GIB, "gradients": 12 * GIB, "optimizer": 3 * GIB,
            "activations": (36 - stage) * GIB, "buffers": 4 * GIB, "context": 3 * GIB,
        },
    )
    for stage in range(PLAN.pp)
)  # fmt: skip
PRICED = PricedPlan(
    plan=PLAN,
    pool="h100",
    devices=16384,
    step_time_s=5.0,
    step_time_s_p90=5.6,
    parts_s={
        "compute": 3.4, "tp": 0.4, "cp": 0.0, "ep": 0.0, "pp": 0.1, "dp": 0.2, "bubble": 0.7,
        "optimizer": 0.1, "offload": 0.0, "overhead": 0.1,
    },
    tokens_per_s=3.355e6,
    mfu=0.41,
    hfu=0.43,
    stage_memory=STAGES,
    energy_j_per_step=5.4e7,
    usd_per_step=56.9,
    co2_g_per_step=5700.0,
    score=5.0,
    why=(
        "Memory binds: the fullest device needs 70.0 of 80.0 GiB.",
        "The next best, tp8 pp8, takes 4% longer.",
        "Twice the network would save 3% of the step.",
    ),
)  # fmt: skip


def other(step_time_s: float, usd_per_step: float | None, **degrees: Any) -> PricedPlan:
    """Another plan: slower or quicker, at another price."""
    plan = replace(PLAN, **degrees, stage_layers=())
    return replace(
        PRICED,
        plan=plan,
        step_time_s=step_time_s,
        step_time_s_p90=1.1 * step_time_s,
        parts_s={**PRICED.parts_s, "compute": PRICED.parts_s["compute"] + step_time_s - 5.0},
        usd_per_step=usd_per_step,
        why=(),
    )


MATRIX = CommunicationMatrix(
    plan=PLAN,
    flows=(
        Flow(axis="dp", collective="reduce-scatter", ranks=128, groups=128, stride=8,
             bytes_per_rank=4 * GIB, calls=1, level="site", criticality="background"),
        Flow(axis="tp", collective="all-reduce", ranks=8, groups=2048, stride=1,
             bytes_per_rank=30 * GIB, calls=512, level="node", criticality="blocking"),
    ),
)  # fmt: skip
CURVE = ScalingCurve(
    points=tuple(
        CurvePoint(
            device_type="H100",
            devices=devices,
            nodes=devices // 8,
            span="any",
            work_per_s_p50=205.0 * devices**0.998,
            work_per_s_p90=190.0 * devices**0.998,
            step_time_s=5.0 * 16384 / devices,
            memory_bytes=64 * GIB,
            power_watts=900.0 * devices,
            plan_id="p1",
        )
        for devices in (2048, 4096, 8192, 16384)
    ),
    unit_of_work="tokens",
    total_work={},
    restart_s=60.0,
)
REPORT = Report(
    model_name="llama3.1-405b",
    model=MODEL,
    training=Training(global_batch=2048, seq_len=8192),
    fleet=FLEET,
    goal="time",
    answer=Answer(
        plans=(
            PRICED,
            other(5.2, 59.0, pp=8, dp_replicate=256, grad_accum=8),
            other(5.5, 62.5, tp=4, dp_replicate=256, grad_accum=8),
        ),
        effort=Effort(candidates=120_000, families=4_000, after_bounds=300, evaluated=210),
    ),
    pareto=(PRICED, other(9.8, 55.0, dp_replicate=64), other(19.0, 54.2, dp_replicate=32)),
    curve=CURVE,
    matrix=MATRIX,
    ranks=rank_map(PLAN, POOL),
)
