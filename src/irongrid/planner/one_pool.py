"""The search of one pool: which counts of devices, which candidates, and their figures."""

from dataclasses import dataclass, replace

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Pool
from irongrid.planner.answer import Effort, PricedPlan
from irongrid.planner.bounds import Bounds
from irongrid.planner.explore import Explorer, Found
from irongrid.planner.knobs import Knobs
from irongrid.planner.pricing import Pricer
from irongrid.planner.question import Question, goal_of
from irongrid.planner.rows import plan_of
from irongrid.planner.space import Space, families, narrowed, space_of
from irongrid.planner.table import Table, join, rows, take

# Points of a scaling curve that one device type may have (design 5: 64 in all).
POINTS_MAX = 64
_SIZES = 8


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

    def best(self, sizes: tuple[int, ...], keep: int, *, together: bool = False) -> Found:
        """The best candidates for each of these counts of devices, or of all of them together."""
        q = self.question
        knobs = Knobs(self.space, q.ability, q.model.layers, q.model.heads)
        limit, found, effort = np.inf, [], Effort()
        # A few sizes at a time: their columns stay in the processor's cache.
        for start in range(0, len(sizes), _SIZES):
            part = sizes[start : start + _SIZES]
            table = pinned(families(q.model, q.training, part, self.space, q.ability), q)
            if not rows(table):
                continue
            explorer = Explorer(
                self.pricer, knobs, self.bounds, keep, together=together, limit=limit
            )
            one = explorer.run(table)
            effort = added(effort, one.effort)
            if rows(one.table):
                found.append(one)
                if together and len(one.score) >= keep:
                    limit = min(limit, float(one.score[keep - 1]))
        if not found:
            return Found(table={}, score=np.zeros(0), effort=effort)
        table = join([one.table for one in found])
        score = np.concatenate([one.score for one in found])
        if not together:
            return Found(table=table, score=score, effort=effort)
        order = np.argsort(score, kind="stable")[:keep]
        return Found(table=take(table, order), score=score[order], effort=effort)

    def plans(self, found: Found) -> tuple[PricedPlan, ...]:
        """Found candidates with all their figures, in the same order."""
        if not len(found.score):
            return ()
        return priced(found.table, self.question, self.pricer)


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


def added(one: Effort, other: Effort) -> Effort:
    """Both efforts together."""
    return Effort(
        candidates=one.candidates + other.candidates,
        families=one.families + other.families,
        after_bounds=one.after_bounds + other.after_bounds,
        evaluated=one.evaluated + other.evaluated,
    )


def curve_sizes(pool: Pool, most: int) -> tuple[int, ...]:
    """Counts of devices worth asking for: whole nodes, up to four to each doubling."""
    node, top = pool.devices_per_node, pool.devices
    ordered: list[int] = []
    for quarters in ((4, 5, 6, 7), (4, 6), (4,)):
        sizes = {2**k * quarter // 4 for k in range(top.bit_length()) for quarter in quarters}
        whole = {n for n in sizes if 1 <= n <= top and (n % node == 0 or node % n == 0)}
        ordered = sorted(whole | {top})
        if len(ordered) <= most:
            break
    return tuple(ordered[-most:])


def pinned(table: Table, question: Question) -> Table:
    """The families that keep to pins which no axis of the space stands for."""
    fits = np.ones(rows(table), dtype=np.bool_)
    replicate = question.pins.get("dp_replicate")
    if replicate is not None:
        fits &= table["dp"] // table["dp_shard"] == int(replicate)
    # One pool is one site, in step at every step.
    fits &= all(int(question.pins.get(name, 1)) == 1 for name in ("sites", "sync_every"))
    return take(table, fits)


def priced(table: Table, question: Question, pricer: Pricer) -> tuple[PricedPlan, ...]:
    """Complete candidates with all their figures."""
    step = pricer.full_time(table)
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
                stage_memory=pricer.stage_memory(plan),
                energy_j_per_step=float(bill.energy_j[row]),
                usd_per_step=None if bill.usd is None else float(bill.usd[row]),
                co2_g_per_step=None if bill.co2_g is None else float(bill.co2_g[row]),
                score=float(score[row]),
            )
        )
    return tuple(plans)
