"""Several sites of a fleet as replicas of one run, which exchange what they learn over wide links.

Every site runs the same plan on an equal share of the batch. Every `sync_every` steps (H) the sites
average what they have changed, and an outer Nesterov step takes the average: DiLoCo,
arXiv:2311.08105 (2023-11). The exchange is streamed in fragments behind compute, as in Streaming
DiLoCo, arXiv:2501.18512 (2025-01), so it costs no time as long as it fits there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf, log

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import StepTime
from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.stages import stage_at
from irongrid.cost.states import state_rules, states
from irongrid.domain.fleet import Fleet, Pool, WideLink
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.runtime import runnable_by
from irongrid.planner.answer import PricedPlan
from irongrid.planner.one_pool import pool_search, priced
from irongrid.planner.pricing import Bill, Pricer
from irongrid.planner.question import Pin, Question, goal_of
from irongrid.planner.table import Floats, Table, take

# Steps between two exchanges: DiLoCo was shown to learn well up to 500 (arXiv:2311.08105, 4.1).
EVERY = (1, 2, 5, 10, 20, 50, 100, 200, 500)
# Of the time between two exchanges, so that a slow spell of the link stalls nobody.
_FILLED = 0.5
# A backward pass is twice a forward one.
_BACKWARD = 2 / 3
# What sites send of each trained weight: bf16.
_SENT_BYTES = 2
# What is kept of it between exchanges: the last outer weight and its momentum, in fp32.
_OUTER_BYTES = 8
_ALONE = ParallelPlan(world_size=1, dp_replicate=1, dp_shard=1, micro_batch=1, grad_accum=1)


@dataclass(frozen=True, slots=True)
class _Group:
    """One pool at each of several sites that are all joined, and the slowest link among them."""

    pools: tuple[Pool, ...]
    link_bytes_per_s: float
    latency_s: float

    @property
    def sites(self) -> int:
        """How many."""
        return len(self.pools)

    @property
    def name(self) -> str:
        """Of all pools."""
        return "+".join(pool.name for pool in self.pools)


@dataclass(frozen=True, slots=True)
class _Figures:
    """The same candidates at every site: the slowest site's time, and the bill of all."""

    seconds: Floats
    steps: tuple[StepTime, ...]
    bills: tuple[Bill, ...]

    def slowest(self, row: int) -> StepTime:
        """The step of the site for which the others wait."""
        return max(self.steps, key=lambda step: float(step.p50_s[row]))


def across_sites(question: Question, coefficients: Coefficients) -> tuple[PricedPlan, ...]:
    """The best plans that use several sites; none where no runtime can or no link hides it."""
    if not question.ability.low_communication or question.pool is not None or question.space:
        return ()
    found = [
        plan for group in _groups(question) for plan in _of_group(question, group, coefficients)
    ]
    found.sort(key=lambda plan: plan.score)
    return tuple(found[: question.keep])


def exchange_s(
    *, payload_bytes: float, sites: int, link_bytes_per_s: float, latency_s: float
) -> float:
    """Seconds for one ring all-reduce between sites, each of which sends as one over a wide link.

    Args:
        payload_bytes: what every site holds.
        link_bytes_per_s, latency_s: of the slowest link, one direction, one way.
    """
    hops = 2 * (sites - 1)
    return hops * (payload_bytes / sites / link_bytes_per_s + latency_s)


def steps_between(
    exchange_s: float, step_time_s: float, backward_s: float, pin: int | None = None
) -> int | None:
    """The fewest steps between two exchanges that hide one; None where none of `EVERY` does.

    Sites that meet in every step must do so behind the last micro-batch's backward pass: only
    then are gradients final.
    """
    for every in EVERY if pin is None else (pin,):
        room_s = backward_s if every == 1 else _FILLED * every * step_time_s
        if exchange_s <= room_s:
            return every
    return None


def _groups(question: Question) -> Iterator[_Group]:
    """Joined sites, for each type of device."""
    fleet, wanted = question.fleet, _pin(question.pins, "sites")
    usable = [pool for pool in question.pools if _comparable(question, pool)]
    for device in dict.fromkeys(pool.accelerator.name for pool in usable):
        largest: dict[str, Pool] = {}
        for pool in sorted(usable, key=lambda pool: -pool.devices):
            if pool.accelerator.name == device:
                largest.setdefault(pool.site, pool)
        pools = [pool for pool in usable if largest.get(pool.site) is pool]
        for members in _joined(fleet, pools, wanted):
            links = _links(fleet, members)
            yield _Group(
                pools=members,
                link_bytes_per_s=min(link.bytes_per_s for link in links),
                latency_s=max(link.latency_s for link in links),
            )


def _comparable(question: Question, pool: Pool) -> bool:
    """Whether the pool computes in the precision and has the figures that the goal weighs."""
    weights, site = goal_of(question.goal).weights, question.fleet.site(pool.site)
    return (
        question.training.precision in pool.accelerator.flops_per_s
        and ("cost" not in weights or pool.usd_per_device_h is not None)
        and ("carbon" not in weights or site.carbon_g_per_kwh is not None)
    )


def _joined(fleet: Fleet, pools: list[Pool], wanted: int | None) -> list[tuple[Pool, ...]]:
    """Every pair of sites with a link between them, and the largest group where all have one."""
    pairs = [pair for pair in combinations(pools, 2) if _links(fleet, pair)]
    largest = max((_grown(fleet, pools, pair) for pair in pairs), key=len, default=())
    if wanted is None:
        return [*pairs, *([largest] if len(largest) > 2 else [])]
    if wanted == 2:
        return list(pairs)
    return [largest[:wanted]] if 2 < wanted <= len(largest) else []


def _grown(fleet: Fleet, pools: list[Pool], pair: tuple[Pool, ...]) -> tuple[Pool, ...]:
    """The pair and every further site that is joined to all before it."""
    group = pair
    for pool in pools:
        if pool not in group and _links(fleet, (*group, pool)):
            group = (*group, pool)
    return group


def _links(fleet: Fleet, pools: tuple[Pool, ...]) -> tuple[WideLink, ...]:
    """The links between all of these pools' sites; empty where any is missing."""
    between = {frozenset(link.sites): link for link in fleet.wide_links if link.bytes_per_s > 0}
    ends = [frozenset((one.site, other.site)) for one, other in combinations(pools, 2)]
    return tuple(between[pair] for pair in ends) if all(pair in between for pair in ends) else ()


def _of_group(
    question: Question, group: _Group, coefficients: Coefficients
) -> tuple[PricedPlan, ...]:
    part = _part_of(question, group)
    if part is None or part.devices is None:
        return ()
    # What suits the slowest network suits the others.
    slowest = min(
        group.pools, key=lambda pool: float(machine_of(pool, part.training).net_bytes_per_s)
    )
    searches = {
        pool.name: pool_search(part, pool, coefficients, question.fleet.devices)
        for pool in group.pools
    }
    best = searches[slowest.name].best((part.devices,), question.keep)
    table, score = best.table, best.score
    pricers = [searches[pool.name].pricer for pool in group.pools]
    if not len(score):
        return ()
    for pricer in pricers:
        fits = pricer.fits(table, pricer.memory(table))
        table, score = take(table, fits), score[fits]
    figures = _figures(table, pricers)
    weights = trained_weights(question, coefficients)
    plans = priced(table, score, part, searches[slowest.name].pricer)
    spread = [
        _spread(row, plan, question, group, figures, weights) for row, plan in enumerate(plans)
    ]
    return tuple(plan for plan in spread if plan is not None)


def _part_of(question: Question, group: _Group) -> Question | None:
    """The question for one site: its share of devices, batch and copies; None where uneven."""
    sites, devices = group.sites, min(pool.devices for pool in group.pools)
    pins = {name: pin for name, pin in question.pins.items() if name not in ("sites", "sync_every")}
    whole = [question.training.global_batch]
    if question.devices is not None:
        whole.append(question.devices)
        if question.devices > devices * sites:
            return None
        devices = question.devices // sites
    copies = {name: int(pins[name]) for name in ("dp", "dp_replicate") if name in pins}
    if any(number % sites for number in (*whole, *copies.values())):
        return None
    batch = question.training.global_batch // sites
    return replace(
        question,
        training=replace(question.training, global_batch=batch),
        devices=devices,
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
    group: _Group,
    figures: _Figures,
    weights: float,
) -> PricedPlan | None:
    """One site's plan at every site; None where no number of steps hides the exchange."""
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
    if every is None or not all(_host_holds(pool, one, outer) for pool in group.pools):
        return None
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
