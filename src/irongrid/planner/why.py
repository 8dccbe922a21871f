"""Why this plan: what binds it, what comes next, and what more hardware would bring."""

from collections.abc import Iterator
from dataclasses import replace

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.step import step_time
from irongrid.domain.fleet import Level, Pool
from irongrid.domain.plan import ParallelPlan
from irongrid.planner.answer import PricedPlan
from irongrid.planner.one_pool import curve_sizes, pool_search
from irongrid.planner.question import Question

GIB = 2**30
# A figure below this share of the step is not worth a word.
_NOTABLE = 0.03
# Memory is what binds where this much of it is taken.
_FULL = 0.9
_NAMES = {
    "compute": "compute",
    "tp": "tensor-parallel traffic",
    "cp": "context-parallel traffic",
    "ep": "expert traffic",
    "pp": "transfers between stages",
    "dp": "data-parallel traffic",
    "bubble": "the pipeline's bubble",
    "optimizer": "the optimizer",
    "offload": "offloading",
    "overhead": "launching and waiting",
}


def explained(
    plans: tuple[PricedPlan, ...], question: Question, coefficients: Coefficients
) -> tuple[PricedPlan, ...]:
    """The plans with their reasons; the best one with all of them."""
    if not plans:
        return ()
    best, others = plans[0], plans[1:]
    pool = question.fleet.pool(best.pool)
    spread = bool(best.plan.stage_pools or best.plan.replicas) or best.plan.sites > 1
    reasons = (
        *best.why,
        *([_parts(best)] if spread else _binds(best, pool, question)),
        *(_next_best(best, other) for other in others[:1]),
        # What more of one pool would bring says little about a plan over several.
        *(() if spread else _would_help(best, pool, question, coefficients)),
    )
    return (
        replace(best, why=reasons),
        *(replace(other, why=(_next_best(best, other, named=False),)) for other in others),
    )


def describe(plan: ParallelPlan) -> str:
    """The plan's degrees in a few words."""
    degrees = {"tp": plan.tp, "pp": plan.pp, "cp": plan.cp, "ep": plan.ep, "dp": plan.dp}
    words = [f"{axis} {degree}" for axis, degree in degrees.items() if degree > 1]
    words.append(f"micro-batch {plan.micro_batch}")
    if plan.pp > 1:
        words.append(plan.schedule)
    if plan.recompute != "none":
        words.append(f"{plan.recompute} recompute")
    if plan.offload != "none":
        words.append(f"{plan.offload} offloaded")
    return ", ".join(words)


def _parts(best: PricedPlan) -> str:
    step = best.step_time_s
    shares = sorted(
        ((part / step, name) for name, part in best.parts_s.items() if name != "compute"),
        reverse=True,
    )
    notable = [f"{share:.0%} is {_NAMES[name]}" for share, name in shares[:2] if share > _NOTABLE]
    compute = best.parts_s["compute"] / step
    rest = (", " + " and ".join(notable)) if notable else ""
    return f"{compute:.0%} of the step is compute{rest}."


def _binds(best: PricedPlan, pool: Pool, question: Question) -> Iterator[str]:
    yield _parts(best)
    used = best.peak_memory_bytes_p95 / pool.accelerator.memory_bytes
    gib = best.peak_memory_bytes_p95 / GIB
    if used > _FULL:
        kept = "" if best.plan.recompute == "none" else ", which is why it recomputes"
        yield f"Memory binds: {gib:.1f} GiB is {used:.0%} of a device{kept}."
    elif best.plan.grad_accum == 1:
        yield (
            f"The batch binds: every data-parallel rank has one micro-batch, so no more than "
            f"{question.training.global_batch:,} of them could work."
        )
    else:
        yield f"Memory does not bind: {gib:.1f} GiB is {used:.0%} of a device."


def _next_best(best: PricedPlan, other: PricedPlan, named: bool = True) -> str:
    slower = other.step_time_s / best.step_time_s - 1
    more = {name: other.parts_s[name] - best.parts_s[name] for name in best.parts_s}
    worst = max(more, key=lambda name: more[name])
    name = f"The next best is {describe(other.plan)}" if named else "Against the best"
    if other.devices != best.devices or other.pool != best.pool:
        name += f" on {other.devices:,} of {other.pool}"
    how = "slower" if slower >= 0 else "faster"
    text = f"{name}: {abs(slower):.1%} {how}"
    if slower > 0 and more[worst] > 0:
        text += f", as {_NAMES[worst]} takes {more[worst] * 1000:,.0f} ms more"
    return text + "."


def _would_help(
    best: PricedPlan, pool: Pool, question: Question, coefficients: Coefficients
) -> Iterator[str]:
    faster = _with_twice_the_network(best, pool, question, coefficients)
    yield f"Twice the network would make this plan {faster:.1%} faster."
    yield _with_more_devices(best, pool, question, coefficients)


def _with_twice_the_network(
    best: PricedPlan, pool: Pool, question: Question, coefficients: Coefficients
) -> float:
    """How much faster the same plan is where every level beyond the island has twice the rate."""
    inner = pool.levels[:1] if len(pool.levels) > 1 else ()
    wider = replace(pool, levels=(*inner, *(_twice(level) for level in pool.levels[len(inner) :])))
    work, layout = work_of(question.model, question.training), layout_of([best.plan])
    times = [
        float(step_time(work, machine_of(one, question.training), layout, coefficients).p50_s[0])
        for one in (pool, wider)
    ]
    return max(times[0] / times[1] - 1, 0.0)


def _twice(level: Level) -> Level:
    return replace(level, bytes_per_s=2 * level.bytes_per_s)


def _with_more_devices(
    best: PricedPlan, pool: Pool, question: Question, coefficients: Coefficients
) -> str:
    """What one more device would bring, or else the next count that brings anything."""
    devices = best.devices
    wider = replace(pool, nodes=max(pool.nodes, -(-2 * devices // pool.devices_per_node)))
    # The count itself is free here; what is pinned stays pinned.
    one = pool_search(replace(question, goal="time"), wider, coefficients, wider.devices)
    more = one.plans(one.best((devices + 1,), 1, together=True))
    if more and more[0].step_time_s < best.step_time_s:
        return f"One more device: {best.step_time_s / more[0].step_time_s - 1:.1%} faster."
    sizes = tuple(n for n in curve_sizes(wider, 64) if devices < n <= 2 * devices)
    for size in sizes:
        found = one.plans(one.best((size,), 1, together=True))
        if found and found[0].step_time_s < best.step_time_s * (1 - _NOTABLE / 3):
            gain = best.step_time_s / found[0].step_time_s - 1
            return (
                f"One more device brings nothing, as {devices + 1:,} do not divide evenly or run "
                f"slower; the next useful count is {size:,}: {gain:.0%} faster."
            )
    return f"More devices bring nothing, up to {2 * devices:,}."
