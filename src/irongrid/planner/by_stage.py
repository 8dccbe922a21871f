"""Peak memory of one plan, stage by stage: what each stage's devices hold, and of what kind."""

from collections.abc import Mapping
from dataclasses import replace

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import PeakMemory
from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.memory import stage_memory
from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.answer import StageMemory


def memory_by_stage(
    plan: ParallelPlan,
    model: ModelShape,
    training: Training,
    pools: Mapping[str, Pool],
    coefficients: Coefficients,
) -> tuple[StageMemory, ...]:
    """Every stage of the plan, first to last, with the blocks that it really has.

    Of replicas in several pools, the stages of one replica in each pool.

    Args:
        pools: by name; one for all stages, or those that the plan's stages or replicas name.
    """
    if not plan.replicas:
        return _of_one_kind(plan, model, training, pools, coefficients)
    return tuple(
        stage
        for part in plan.replicas
        for stage in _of_one_kind(
            replace(plan, replicas=(), micro_batch=part.micro_batch, grad_accum=part.grad_accum),
            model,
            training,
            {part.pool: pools[part.pool]},
            coefficients,
        )
    )


def _of_one_kind(
    plan: ParallelPlan,
    model: ModelShape,
    training: Training,
    pools: Mapping[str, Pool],
    coefficients: Coefficients,
) -> tuple[StageMemory, ...]:
    """The stages where all replicas are alike."""
    assert coefficients.memory is not None, "coefficients were read without those of memory"
    work, layout = work_of(model, training), layout_of([plan])
    on: dict[str, PeakMemory] = {
        name: stage_memory(
            work, machine_of(pool, training), layout, coefficients.memory, plan.stage_layers
        )
        for name, pool in pools.items()
    }
    where = plan.stage_pools or (next(iter(pools)),) * plan.pp
    return tuple(_of_stage(stage, name, on[name]) for stage, name in enumerate(where))


def _of_stage(stage: int, pool: str, memory: PeakMemory) -> StageMemory:
    return StageMemory(
        pool=pool,
        stage=stage,
        peak_memory_bytes=int(memory.p50_bytes[stage]),
        peak_memory_bytes_p95=int(memory.p95_bytes[stage]),
        parts_bytes={name: int(part[stage]) for name, part in memory.parts_bytes.items()},
        host_bytes=int(memory.host_bytes[stage]),
    )
