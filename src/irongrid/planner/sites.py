"""Several sites of a fleet as replicas of one run, which exchange what they learn over wide links.

`planner/wide.py` says which sites go together and what their exchange takes; here each group gets
its plan: the same at every site, as fast as the slowest of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf, log

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import StepTime
from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.stages import stage_at
from irongrid.cost.states import state_rules, states
from irongrid.domain.fleet import Pool
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.runtime import runnable_by
from irongrid.errors import SpecError
from irongrid.planner.answer import Effort, Misfit, PricedPlan
from irongrid.planner.misfit import misfit
from irongrid.planner.one_pool import POINTS_MAX, added, curve_sizes, pool_search, priced
from irongrid.planner.pricing import Bill, Pricer
from irongrid.planner.question import Pin, Question, goal_of
from irongrid.planner.table import Floats, Table, take
from irongrid.planner.wide import (
    EVERY,
    Group,
    exchange_s,
    groups,
    rate_needed,
    steps_between,
    steps_needed,
)

# One site's plans that are tried at all of them: what is best at one may not fit another.
_TRIED = 8
# A backward pass is twice a forward one.
_BACKWARD = 2 / 3
# What sites send of each trained weight: bf16.
_SENT_BYTES = 2
# What is kept of it between exchanges: the last outer weight and its momentum, in fp32.
_OUTER_BYTES = 8
_ALONE = ParallelPlan(world_size=1, dp_replicate=1, dp_shard=1, micro_batch=1, grad_accum=1)


@dataclass(frozen=True, slots=True)
class _Figures:
    """The same candidates at every site: the slowest site's time, and the bill of all."""

    seconds: Floats
    steps: tuple[StepTime, ...]
    bills: tuple[Bill, ...]

    def slowest(self, row: int) -> StepTime:
        """The step of the site for which the others wait."""
        return max(self.steps, key=lambda step: float(step.p50_s[row]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Plans over several sites.

    Attributes:
        effort: what the searches of single sites looked at.
        obstacle: why there are none, where something can be said; it matters if sites are pinned.
    """

    plans: tuple[PricedPlan, ...] = ()
    effort: Effort = field(default_factory=Effort)
    obstacle: Misfit | None = None


def across_sites(question: Question, coefficients: Coefficients) -> Spread:
    """The best plans that use several sites; none where no runtime can or no link hides it."""
    if question.pool is not None or question.space:
        return Spread()
    if not question.ability.low_communication:
        runtime = question.training.runtime
        problem = f"{runtime} does not train over several sites"
        fixes = ("plan for the runtime `any`, which looks beyond what software of today runs",)
        return Spread(obstacle=Misfit(code="runtime", problem=problem, fixes=fixes))
    found = [_of_group(question, group, coefficients) for group in groups(question)]
    plans = sorted((plan for one in found for plan in one.plans), key=lambda plan: plan.score)
    effort = Effort()
    for one in found:
        effort = added(effort, one.effort)
    obstacles = (one.obstacle for one in found if one.obstacle)
    return Spread(
        plans=tuple(plans[: question.keep]),
        effort=effort,
        obstacle=None if plans else next(obstacles, None if found else _no_group(question)),
    )


def counts_over_sites(question: Question) -> tuple[int, ...]:
    """Counts of devices worth asking for that take more than one site."""
    one = max((pool.devices for pool in question.pools), default=0)
    counts: set[int] = set()
    if question.ability.low_communication and question.pool is None:
        for group in groups(question):
            smallest = min(group.pools, key=lambda pool: pool.devices)
            counts |= {group.sites * n for n in curve_sizes(smallest, POINTS_MAX)}
    return tuple(sorted(count for count in counts if count > one))


def _no_group(question: Question) -> Misfit:
    wanted = question.pins.get("sites", "several")
    problem = (
        f"{wanted} sites are asked for, and the fleet has no so many with one type of device, all "
        f"that the goal needs to know, and a link between each two"
    )
    fixes = ("name the links between its sites in the fleet", "leave sites open")
    return Misfit(code="network", problem=problem, fixes=fixes)


def _of_group(question: Question, group: Group, coefficients: Coefficients) -> Spread:
    part = _part_of(question, group)
    if part is None:
        return Spread(obstacle=_unequal(question, group))
    # What suits the slowest network suits the others.
    slowest = min(
        group.pools, key=lambda pool: float(machine_of(pool, part.training).spine_bytes_per_s)
    )
    smallest = min(group.pools, key=lambda pool: pool.devices)
    try:
        searches = {
            pool.name: pool_search(part, pool, coefficients, question.fleet.devices)
            for pool in group.pools
        }
    except SpecError:
        # What is pinned goes with plans of other pools only.
        return Spread()
    found = searches[slowest.name].found(smallest)
    if not len(found.score):
        return Spread(effort=found.effort, obstacle=_at_each(part, group, slowest, coefficients))
    table, score = found.table, found.score
    pricers = [searches[pool.name].pricer for pool in group.pools]
    for pricer in pricers:
        fits = pricer.fits(table, pricer.memory(table))
        table, score = take(table, fits), score[fits]
    figures = _figures(table, pricers)
    weights = trained_weights(question, coefficients)
    plans = priced(table, score, part, searches[slowest.name].pricer)
    spread = [
        _spread(row, plan, question, group, figures, weights) for row, plan in enumerate(plans)
    ]
    return Spread(
        plans=tuple(one for one in spread if isinstance(one, PricedPlan)),
        effort=found.effort,
        obstacle=next((one for one in spread if isinstance(one, Misfit)), None),
    )


def _at_each(part: Question, group: Group, pool: Pool, coefficients: Coefficients) -> Misfit:
    """One site's share alone does not work there."""
    found = misfit(part, pool, coefficients)
    return replace(found, problem=f"at each of {group.sites} sites, {found.problem}")


def _unequal(question: Question, group: Group) -> Misfit:
    sites = group.sites
    shared = {"a batch": question.training.global_batch, "devices": question.devices or 0}
    shared |= {name: int(question.pins.get(name, 0)) for name in ("dp", "dp_replicate")}
    uneven = [f"{name} of {n:,}" for name, n in shared.items() if n % sites]
    most = sites * min(pool.devices for pool in group.pools)
    if uneven:
        problem, fix = ", ".join(uneven), f"give multiples of {sites}"
    else:
        problem, fix = f"{question.devices:,} devices", f"use at most {most:,} devices"
    return Misfit(
        code="divisibility",
        problem=f"{sites} sites ({group.name}) cannot share {problem} equally",
        fixes=(fix,),
    )


def _part_of(question: Question, group: Group) -> Question | None:
    """The question for one site: its share of devices, batch and copies; None where uneven."""
    sites, most = group.sites, min(pool.devices for pool in group.pools)
    pins = {name: pin for name, pin in question.pins.items() if name not in ("sites", "sync_every")}
    copies = {name: int(pins[name]) for name in ("dp", "dp_replicate") if name in pins}
    whole = [question.training.global_batch, question.devices or 0, *copies.values()]
    if any(number % sites for number in whole) or (question.devices or 0) > most * sites:
        return None
    batch = question.training.global_batch // sites
    return replace(
        question,
        training=replace(question.training, global_batch=batch),
        devices=question.devices and question.devices // sites,
        keep=max(question.keep, _TRIED),
        pins=pins | {name: number // sites for name, number in copies.items()},
    )


def _pin(pins: Mapping[str, Pin], name: str) -> int | None:
    return int(pins[name]) if name in pins else None


def _figures(table: Table, pricers: list[Pricer]) -> _Figures:
    """Every site's step, and what it costs while it waits for the slowest."""
    steps = tuple(pricer.full_time(table) for pricer in pricers)
    seconds = np.max([step.p50_s for step in steps], axis=0)
    bills = tuple(
        pricer.bill(table, replace(step, p50_s=seconds))
        for pricer, step in zip(pricers, steps, strict=True)
    )
    return _Figures(seconds, steps, bills)


def trained_weights(question: Question, coefficients: Coefficients) -> float:
    """Weights that training changes: all, those not frozen, or those of the adapters."""
    assert coefficients.memory is not None, "coefficients were read without those of memory"
    work, alone = work_of(question.model, question.training), layout_of([_ALONE])
    rules = state_rules(work, alone, coefficients.memory)
    held = states(rules, stage_at(work, alone, np.zeros(1), 0.0))
    return float(np.max(held.gradients / rules.gradients_bytes[0]))


def _spread(
    row: int,
    one: PricedPlan,
    question: Question,
    group: Group,
    figures: _Figures,
    weights: float,
) -> PricedPlan | Misfit:
    """One site's plan at every site, or what stands in its way."""
    sites, step, seconds = group.sites, figures.slowest(row), float(figures.seconds[row])
    spent_s = exchange_s(
        payload_bytes=weights * _SENT_BYTES,
        sites=sites,
        link_bytes_per_s=group.link_bytes_per_s,
        latency_s=group.latency_s,
    )
    backward_s = _BACKWARD * float(step.parts_s["compute"][row]) / one.plan.grad_accum
    every = steps_between(spent_s, seconds, backward_s, _pin(question.pins, "sync_every"))
    copies = one.plan.dp if one.plan.zero == "none" else one.plan.dp_replicate
    # Sites that meet in every step average gradients, which needs no outer state.
    outer = 0 if every == 1 else round(_OUTER_BYTES * weights * copies / one.devices)
    if every is None:
        return _not_hidden(question, group, weights * _SENT_BYTES, spent_s, seconds, backward_s)
    if not all(_host_holds(pool, one, outer) for pool in group.pools):
        return _no_room(group, outer)
    plan = replace(
        one.plan,
        world_size=one.plan.world_size * sites,
        dp_replicate=one.plan.dp_replicate * sites,
        sites=sites,
        sync_every=every,
    )
    peak = group.pools[0].accelerator.flops_per_s[question.training.precision]
    devices, training = one.devices * sites, question.training
    could = devices * peak * seconds
    energy_j, usd, co2_g = _sums(figures.bills, row)
    return replace(
        one,
        plan=replace(plan, runnable_by=runnable_by(plan)),
        pool=group.name,
        devices=devices,
        step_time_s=seconds,
        step_time_s_p90=max(float(other.p90_s[row]) for other in figures.steps),
        parts_s={name: float(part[row]) for name, part in step.parts_s.items()},
        tokens_per_s=training.global_batch * training.seq_len / seconds,
        mfu=sites * float(step.model_flops[row]) / could,
        hfu=sites * float(step.hardware_flops[row]) / could,
        stage_memory=tuple(
            replace(stage, pool=group.name, host_bytes=stage.host_bytes + outer)
            for stage in one.stage_memory
        ),
        energy_j_per_step=energy_j,
        usd_per_step=usd,
        co2_g_per_step=co2_g,
        score=_score(question, {"time": seconds, "cost": usd, "energy": energy_j, "carbon": co2_g}),
        why=tuple(_reasons(sites, every, spent_s, seconds, backward_s, weights * _SENT_BYTES)),
    )


def _not_hidden(
    question: Question,
    group: Group,
    payload_bytes: float,
    spent_s: float,
    seconds: float,
    backward_s: float,
) -> Misfit:
    """The link does not hide the exchange: how many steps, or how fast a link, would."""
    every = _pin(question.pins, "sync_every") or EVERY[-1]
    needed = steps_needed(spent_s, seconds)
    rate = rate_needed(
        group,
        payload_bytes=payload_bytes,
        step_time_s=seconds,
        backward_s=backward_s,
        every=every,
    )
    fixes = [f"exchange every {needed:,} steps (sync_every)"] if needed <= EVERY[-1] else []
    if rate is not None:
        gbit_per_s = rate * 8 / 1e9
        said = f"{gbit_per_s:,.0f}" if gbit_per_s >= 100 else f"{gbit_per_s:.3g}"
        fixes.append(f"a link of {said} Gbit/s between the sites")
    behind = "one backward pass" if every == 1 else f"half of {every:,} steps"
    room_s = backward_s if every == 1 else every * seconds / 2
    return Misfit(
        code="network",
        problem=(
            f"the link between {group.name} does not hide an exchange of "
            f"{payload_bytes / 1e9:,.3g} GB, which takes {spent_s:,.3g} s: {behind} "
            f"{'is' if every == 1 else 'are'} {room_s:,.3g} s"
        ),
        fixes=tuple(fixes),
    )


def _no_room(group: Group, outer_bytes: int) -> Misfit:
    problem = (
        f"hosts of {group.name} have no room for what sites keep between exchanges: "
        f"{outer_bytes / 2**30:,.3g} GiB for each device"
    )
    return Misfit(code="memory", problem=problem, fixes=("leave dp_replicate and zero open",))


def _host_holds(pool: Pool, one: PricedPlan, outer_bytes: int) -> bool:
    """Whether a device's share of host memory takes the outer state beside what is offloaded."""
    if not pool.host_memory_bytes:
        return True
    beside = one.host_bytes if one.plan.offload_tier == "host" else 0
    return beside + outer_bytes <= pool.host_memory_bytes / pool.devices_per_node


def _sums(bills: tuple[Bill, ...], row: int) -> tuple[float, float | None, float | None]:
    """Energy, money and carbon of all sites; None where one of them does not know."""
    energy_j = sum(float(bill.energy_j[row]) for bill in bills)
    usd = [float(bill.usd[row]) for bill in bills if bill.usd is not None]
    co2_g = [float(bill.co2_g[row]) for bill in bills if bill.co2_g is not None]
    return (
        energy_j,
        sum(usd) if len(usd) == len(bills) else None,
        sum(co2_g) if len(co2_g) == len(bills) else None,
    )


def _score(question: Question, figures: Mapping[str, float | None]) -> float:
    """As `Pricer.score`: the goal's weights on the logarithm of each figure."""
    total = 0.0
    for name, weight in goal_of(question.goal).weights.items():
        figure = figures[name]
        assert figure is not None, "sites without this figure were left out"
        # Devices that are free and pay no energy cost nothing, which nothing beats.
        total += weight * log(figure) if figure > 0 else -inf
    return total


def _reasons(
    sites: int, every: int, spent_s: float, seconds: float, backward_s: float, sent_bytes: float
) -> Iterator[str]:
    exchange = f"{sites} sites exchange {sent_bytes / 1e9:,.3g} GB in {spent_s:.3g} s"
    if every == 1:
        yield f"{exchange} in every step, behind a backward pass of {backward_s:.3g} s."
        return
    yield (
        f"{exchange} every {every} steps, behind the {every * seconds:.3g} s that these take; "
        f"half of that is left for a slow spell of the link."
    )
    yield (
        f"Sites in step only every {every} steps (DiLoCo) learn something else than in step at "
        "each: compare the loss before a long run."
    )
