"""Why this plan: what binds it, what comes next, and what more hardware would bring."""

from dataclasses import replace
from math import log

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.step import step_time
from irongrid.domain.fleet import Level, Pool
from irongrid.domain.plan import ParallelPlan
from irongrid.errors import SpecError
from irongrid.planner.answer import PricedPlan
from irongrid.planner.one_pool import curve_sizes, pool_search
from irongrid.planner.question import DEVICES_MAX, Question

GIB = 2**30
# Reasons that a person reads at a glance; those after them are for whoever asks for all.
AT_A_GLANCE = 3
# A figure below this share of the step is not worth a word.
_NOTABLE = 0.03
# Memory is what binds where this much of it is taken, and traffic or the bubble where this share of
# the step is spent on it.
_FULL, _BINDING = 0.9, 0.15
# Steps that differ by less are alike: the search leaves a thousandth open.
_ALIKE = 1e-3
_TRAFFIC = ("tp", "cp", "ep", "pp", "dp")
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
    """The plans with their reasons, weightiest first; the best one with all of them."""
    if not plans:
        return ()
    best, others = plans[0], plans[1:]
    pool = question.fleet.pool(best.pool)
    # What more of one pool would bring says little about a plan over several.
    spread = bool(best.plan.stage_pools or best.plan.replicas) or best.plan.sites > 1
    reasons = (
        *(best.why[:1] if spread else [_binds(best, pool)]),
        *(_next_best(best, other) for other in others[:1]),
        *(best.why[1:] if spread else [_would_help(best, pool, question, coefficients)]),
        _parts(best),
    )
    return (
        replace(best, why=reasons),
        *(
            replace(other, why=(*other.why, _next_best(best, other, named=False)))
            for other in others
        ),
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


def _binds(best: PricedPlan, pool: Pool) -> str:
    """What keeps the plan from being faster: memory, bandwidth, the batch, or else compute."""
    plan, step = best.plan, best.step_time_s
    used = best.peak_memory_bytes_p95 / pool.accelerator.memory_bytes
    gib = f"{best.peak_memory_bytes_p95 / GIB:.1f} GiB is {used:.0%} of a device"
    traffic = {name: best.parts_s[name] / step for name in _TRAFFIC}
    most, bubble = max(traffic, key=lambda name: traffic[name]), best.parts_s["bubble"] / step
    binding: list[tuple[str, str]] = []
    if used > _FULL:
        why = ", so it recomputes" if plan.recompute != "none" else ""
        binding.append(("memory", gib + why))
    if sum(traffic.values()) > _BINDING:
        share = f"{sum(traffic.values()):.0%} of the step waits for it"
        binding.append(("bandwidth", f"{share}, most for {_NAMES[most]}"))
    if plan.grad_accum == 1:
        binding.append(("the batch", "every data-parallel rank has one micro-batch"))
    elif bubble > _BINDING:
        few = f"{plan.grad_accum:,} micro-batches over {plan.pp} stages"
        binding.append(("the batch", f"{few} leave a bubble of {bubble:.0%} of the step"))
    if not binding:
        binding.append(("compute", f"{best.parts_s['compute'] / step:.0%} of the step; {gib}"))
    (name, detail), *more = binding
    rest = "".join(f", and {also} ({detail})" for also, detail in more)
    first = f" binds ({detail}){rest}." if more else f" binds: {detail}."
    return name[0].upper() + name[1:] + first


def _next_best(best: PricedPlan, other: PricedPlan, named: bool = True) -> str:
    slower = other.step_time_s / best.step_time_s - 1
    more = {name: other.parts_s[name] - best.parts_s[name] for name in best.parts_s}
    worst = max(more, key=lambda name: more[name])
    name = f"The next best is {describe(other.plan)}" if named else "Against the best"
    if other.devices != best.devices or other.pool != best.pool:
        name += f" on {other.devices:,} of {other.pool}"
    if abs(slower) < _ALIKE:
        return f"{name}: as fast, within a thousandth."
    text = f"{name}: {abs(slower):.1%} {'slower' if slower > 0 else 'faster'}"
    if slower > 0 and more[worst] > 0:
        text += f", as {_NAMES[worst]} takes {more[worst] * 1000:,.0f} ms more"
    if slower < 0:
        text += _at_what_price(best, other)
    return text + "."


def _at_what_price(best: PricedPlan, other: PricedPlan) -> str:
    """What a faster plan takes more of, so that it is not the best."""
    pairs = {
        "money": (best.usd_per_step, other.usd_per_step),
        "energy": (best.energy_j_per_step, other.energy_j_per_step),
        "carbon": (best.co2_g_per_step, other.co2_g_per_step),
    }
    more = {name: dear / cheap - 1 for name, (cheap, dear) in pairs.items() if cheap and dear}
    name = max(more, key=lambda name: more[name], default="")
    return f" for {more[name]:.1%} more {name}" if name and more[name] > _ALIKE else ""


def _would_help(
    best: PricedPlan, pool: Pool, question: Question, coefficients: Coefficients
) -> str:
    faster = _with_twice_the_network(best, pool, question, coefficients)
    more = _with_more_devices(best, pool, question, coefficients)
    network = f"make this plan {faster:.1%} faster" if faster > _ALIKE / 2 else "bring nothing"
    return f"Twice the network would {network}; {more}."


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
    devices, most = best.devices, min(2 * best.devices, DEVICES_MAX)
    wider = replace(pool, nodes=max(pool.nodes, -(-most // pool.devices_per_node)))
    sizes = tuple(n for n in curve_sizes(wider, 64) if devices + 1 < n <= most)
    # The count itself is free here; what is pinned stays pinned.
    asked = replace(question, goal="time")
    for size in (devices + 1, *sizes):
        try:
            one = pool_search(asked, wider, coefficients, size)
        except SpecError:
            continue  # what is pinned does not go with so many
        # Only what is notably faster is worth a word, and the rest need not be told apart.
        notable = 0.0 if size == devices + 1 else _NOTABLE / 3
        limit = log(best.step_time_s / (1 + notable))
        found = one.plans(one.best((size,), 1, limit=limit))
        gain = best.step_time_s / found[0].step_time_s - 1 if found else 0.0
        if size == devices + 1 and gain > 0:
            return f"one more device would bring {gain:.1%}"
        if gain > 0:
            return (
                f"one more device brings nothing, as {devices + 1:,} do not divide evenly or run "
                f"slower, and {size:,} in all are {gain:.0%} faster"
            )
    return f"more devices bring nothing, up to {most:,}"
