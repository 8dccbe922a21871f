"""The planner's answer to a question: the best plans of each pool that may be used."""

from dataclasses import dataclass, replace

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Pool
from irongrid.planner.answer import Answer, Effort, PricedPlan
from irongrid.planner.bounds import Bounds
from irongrid.planner.explore import Explorer, Found
from irongrid.planner.knobs import Knobs
from irongrid.planner.pricing import Pricer
from irongrid.planner.question import Question, check, goal_of
from irongrid.planner.rows import plan_of
from irongrid.planner.space import Space, families, narrowed, space_of
from irongrid.planner.table import Table, rows, take

# Points of a scaling curve that one device type may have (design 5: 64 in all).
POINTS_MAX = 64


@dataclass(frozen=True, slots=True)
class PoolSearch:
    """A question for one pool: what may be tried, and how it is priced."""

    question: Question
    pool: Pool
    space: Space
    pricer: Pricer

    @property
    def bounds(self) -> Bounds:
        """Bounds for partly chosen candidates."""
        return Bounds(self.pricer, self.space)

    def best(self, sizes: tuple[int, ...], keep: int) -> Found:
        """The best candidates for each of these counts of devices."""
        q = self.question
        table = pinned(families(q.model, q.training, sizes, self.space, q.ability), q)
        knobs = Knobs(self.space, q.ability, q.model.layers, q.model.heads)
        return Explorer(self.pricer, knobs, self.bounds, keep).run(table)

    def plans(self, found: Found) -> tuple[PricedPlan, ...]:
        """Found candidates with all their figures, in the same order."""
        return priced(found.table, self.question, self.pricer) if rows(found.table) else ()


def pool_search(
    question: Question, pool: Pool, coefficients: Coefficients, devices: int
) -> PoolSearch:
    """The search of one pool."""
    site = question.fleet.site(pool.site)
    pricer = Pricer(
        question.model, question.training, pool, site, goal_of(question.goal), coefficients
    )
    space = question.space or space_of(
        question.model, question.training, pool, devices, question.ability
    )
    return PoolSearch(question, pool, narrowed(space, question.pins, question.ability), pricer)


def search(question: Question, coefficients: Coefficients) -> Answer:
    """The best plans, or why there are none.

    With a count of devices, plans for exactly that many. Without, plans for all devices of a pool;
    for fewer where that many cannot be used, or where fewer serve the goal better.

    Raises:
        SpecError: the question itself is wrong.
        Refused: the fleet lacks the price or carbon intensity that the goal needs.
    """
    check(question)
    plans: list[PricedPlan] = []
    effort = Effort()
    for pool in usable(question):
        found, spent = _of_pool(question, pool, coefficients)
        plans += found
        effort = added(effort, spent)
    plans.sort(key=lambda plan: plan.score)
    return Answer(plans=tuple(plans[: question.keep]), effort=effort)


def usable(question: Question) -> tuple[Pool, ...]:
    """The pools that have enough devices and compute in the training's precision."""
    least = question.devices or 1
    return tuple(
        pool
        for pool in question.pools
        if pool.devices >= least and question.training.precision in pool.accelerator.flops_per_s
    )


def _of_pool(
    question: Question, pool: Pool, coefficients: Coefficients
) -> tuple[tuple[PricedPlan, ...], Effort]:
    most = question.devices or pool.devices
    one = pool_search(question, pool, coefficients, most)
    weights = goal_of(question.goal).weights
    if question.devices is None and set(weights) != {"time"}:
        found = one.best(curve_sizes(pool, POINTS_MAX), question.keep)
        return one.plans(found), found.effort
    found = one.best((most,), question.keep)
    if not rows(found.table) and question.devices is None:
        fewer = one.best(curve_sizes(pool, POINTS_MAX), 1)
        return one.plans(fewer), added(found.effort, fewer.effort)
    return one.plans(found), found.effort


def curve_sizes(pool: Pool, most: int) -> tuple[int, ...]:
    """Counts of devices worth asking for: whole nodes, four to each doubling."""
    node, top = pool.devices_per_node, pool.devices
    sizes = {2**k * quarter // 4 for k in range(top.bit_length()) for quarter in (4, 5, 6, 7)}
    whole = {n for n in sizes if 1 <= n <= top and (n % node == 0 or (n < node and node % n == 0))}
    ordered = sorted(whole | {top})
    while len(ordered) > most:
        # Small counts are many and alike in relative steps; thin out from there.
        ordered = ordered[1::2] if ordered[-1] != top else sorted({*ordered[::-2], top})
    return tuple(ordered)


def pinned(table: Table, question: Question) -> Table:
    """The families that keep to pins which no axis of the space stands for."""
    fits = np.ones(rows(table), dtype=np.bool_)
    replicate = question.pins.get("dp_replicate")
    if replicate is not None:
        fits &= table["dp"] // table["dp_shard"] == int(replicate)
    return take(table, fits)


def added(one: Effort, other: Effort) -> Effort:
    """Both efforts together."""
    return Effort(
        candidates=one.candidates + other.candidates,
        families=one.families + other.families,
        after_bounds=one.after_bounds + other.after_bounds,
        evaluated=one.evaluated + other.evaluated,
    )


def priced(table: Table, question: Question, pricer: Pricer) -> tuple[PricedPlan, ...]:
    """Complete candidates with all their figures."""
    step, memory = pricer.time(table), pricer.memory(table)
    bill, score = pricer.bill(table, step), pricer.score(table, step)
    pool = pricer.pool
    peak = pool.accelerator.flops_per_s[question.training.precision]
    plans = []
    for row in range(rows(table)):
        devices, seconds = int(table["devices"][row]), float(step.p50_s[row])
        could = devices * peak * seconds
        plan = plan_of(table, row, question.model, question.training)
        plans.append(
            PricedPlan(
                plan=replace(plan, rank_map="torus" if pool.torus else "node-major"),
                pool=pool.name,
                devices=devices,
                step_time_s=seconds,
                step_time_s_p90=float(step.p90_s[row]),
                parts_s={name: float(part[row]) for name, part in step.parts_s.items()},
                tokens_per_s=pricer.tokens / seconds,
                mfu=float(step.model_flops[row]) / could,
                hfu=float(step.hardware_flops[row]) / could,
                peak_memory_bytes=int(memory.p50_bytes[row]),
                peak_memory_bytes_p95=int(memory.p95_bytes[row]),
                memory_parts_bytes={
                    name: int(part[row]) for name, part in memory.parts_bytes.items()
                },
                host_bytes=int(memory.host_bytes[row]),
                energy_j_per_step=float(bill.energy_j[row]),
                usd_per_step=None if bill.usd is None else float(bill.usd[row]),
                co2_g_per_step=None if bill.co2_g is None else float(bill.co2_g[row]),
                score=float(score[row]),
            )
        )
    return tuple(plans)
