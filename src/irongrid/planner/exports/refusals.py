"""What stands against handing a plan to a runtime: a sentence for each obstacle."""

from collections.abc import Iterator, Sequence

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.runtime import RUNTIMES, Ability, has_unequal_replicas, runnable_by
from irongrid.domain.training import Training
from irongrid.errors import Refused

NVIDIA = frozenset({"volta", "turing", "ampere", "ada", "hopper", "blackwell"})
AMD = frozenset({"cdna2", "cdna3"})


def _named(values: frozenset[str]) -> str:
    return ", ".join(sorted(values))


def _axes(ability: Ability, plan: ParallelPlan) -> Iterator[str]:
    degrees = {"pp": plan.pp, "tp": plan.tp, "cp": plan.cp, "ep": plan.ep}
    for axis, degree in degrees.items():
        if degree > 1 and axis not in ability.axes:
            yield f"{axis}={degree}, and it has no {axis}"


def _choices(ability: Ability, plan: ParallelPlan) -> Iterator[str]:
    asked = (
        ("schedule", plan.schedule if plan.pp > 1 else None, ability.schedules),
        ("zero", plan.zero, ability.zero),
        ("recompute", plan.recompute, ability.recompute),
        ("offload", plan.offload, ability.offload),
        ("precision", plan.precision, ability.precisions),
        ("context", plan.context if plan.cp > 1 else None, ability.contexts),
        ("compression", plan.compression, ability.compressions),
    )
    for name, value, known in asked:
        if value is not None and value not in known:
            yield f"{name}={value}, and it has {_named(known) or 'none'}"


def _shapes(ability: Ability, plan: ParallelPlan) -> Iterator[str]:
    if plan.dp_replicate > 1 and plan.dp_shard > 1 and not ability.hybrid_sharding:
        yield "sharding inside replicas (dp_replicate and dp_shard over 1)"
    if len(set(plan.stage_layers)) > 1 and not ability.uneven_stages:
        yield f"stages of unequal depth ({', '.join(map(str, plan.stage_layers))})"
    if plan.recompute_layers and not ability.partial_recompute:
        yield "recompute of some layers only"
    if plan.sync_every > 1 and not ability.low_communication:
        yield f"sites that meet every {plan.sync_every} steps"
    if len(set(plan.stage_pools)) > 1 and not ability.mixed_devices:
        yield f"stages on different devices ({', '.join(plan.stage_pools)})"
    if has_unequal_replicas(plan) and not ability.mixed_devices:
        shares = ", ".join(f"{p.micro_batch} x {p.grad_accum} on {p.pool}" for p in plan.replicas)
        yield f"replicas that take unequal shares of the batch ({shares})"
    sharded = plan.zero in ("2", "3", "fsdp") and plan.dp_shard > 1
    if sharded and plan.pp > 1 and not ability.composed:
        yield f"zero={plan.zero} together with pp={plan.pp}"


def ability_obstacles(runtime: str, plan: ParallelPlan) -> list[str]:
    """What of the plan is not in the runtime's row of the table; empty where it can run."""
    ability = RUNTIMES[runtime]
    return [*_axes(ability, plan), *_choices(ability, plan), *_shapes(ability, plan)]


def common_obstacles(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> list[str]:
    """What no framework's launcher takes, whatever the runtime."""
    found = []
    per_node = min(plan.world_size, pool.devices_per_node)
    if plan.world_size % per_node:
        found.append(f"{plan.world_size} ranks do not fill nodes of {per_node} devices")
    if plan.world_size != plan.pp * plan.dp * plan.cp * plan.tp:
        found.append(f"world_size={plan.world_size} is not pp x dp x cp x tp")
    if plan.replicas:
        found.append(f"replicas in {len(plan.replicas)} pools, where its launch line starts one")
    if plan.global_batch != training.global_batch:
        found.append(
            f"the plan's global batch is {plan.global_batch}, the training's "
            f"{training.global_batch}"
        )
    if model.conditioning or not model.causal:
        found.append("a diffusion transformer, which these language-model trainers do not build")
    return found


def check(runtime: str, obstacles: Sequence[str], plan: ParallelPlan) -> None:
    """Refuse with every obstacle, and name who could run the plan."""
    if not obstacles:
        return
    others = [name for name in runnable_by(plan) if name != runtime]
    fix = f"Plan for {runtime} (runtime={runtime}), which searches what it can run"
    if others:
        fix += f", or export to {' or '.join(others)}"
    raise Refused(
        "plan_not_runnable", f"{runtime} cannot run this plan: {'; '.join(obstacles)}", fix
    )
