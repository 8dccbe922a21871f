"""The search of one pool: which counts of devices, which candidates, and their figures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Pool
from irongrid.domain.plan import SCHEDULES
from irongrid.planner.answer import Effort, PricedPlan
from irongrid.planner.bounds import Bounds
from irongrid.planner.explore import Explorer, Found
from irongrid.planner.knobs import Knobs
from irongrid.planner.pricing import Pricer
from irongrid.planner.question import Question, goal_of
from irongrid.planner.rows import plan_of
from irongrid.planner.space import Space, families, narrowed, space_of
from irongrid.planner.stage_split import with_split
from irongrid.planner.table import Floats, Table, join, rows, take

# Points of a scaling curve that one device type may have (design 5: 64 in all).
POINTS_MAX = 64
# Counts of devices that are tried at once where a pool's whole count cannot be used, and how often
# plans for so many may be too large.
_COUNTS, _TRIES = 4, 2
# Counts, and families, that are worked on at once: enough for columns to pay off, and their memory
# stays small.
_SIZES, _FAMILIES = 8, 2**16
# Every which count of devices is tried first, how often more of them may be worse, and how many
# families that may take for all other counts to be tried as well.
_STRIDE, _WORSE, _FAMILIES_EASY = 8, 2, 2**16


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

    def found(self, limit: Pool) -> Found:
        """The best candidates for the question, on no more devices than this pool has.

        On the count that it names. Without one, on all devices; on fewer where so many cannot be
        used, or where fewer serve the goal better.
        """
        q, most = self.question, self.question.devices or limit.devices
        sizes = curve_sizes(limit, POINTS_MAX)
        if q.devices is None and set(self.pricer.goal.weights) != {"time"}:
            return self.best_count(sizes, q.keep)
        found = self.best((most,), q.keep)
        if q.devices is not None or len(found.score):
            return found
        return self._on_fewer(sizes[:-1], found.effort)

    def _on_fewer(self, sizes: tuple[int, ...], effort: Effort) -> Found:
        """The best on the largest counts that can be used, as more devices are faster."""
        found = _merged([], effort, None)
        # Fewer devices hold less, so what does not fit twice as many will not fit them.
        full = 0
        while sizes and not len(found.score) and full < _TRIES:
            found = self.best(sizes[-_COUNTS:], self.question.keep, together=True)
            effort, sizes = added(effort, found.effort), sizes[:-_COUNTS]
            full += bool(found.effort.candidates)
        return replace(found, effort=effort)

    def best(
        self, sizes: tuple[int, ...], keep: int, *, together: bool = False, limit: float = np.inf
    ) -> Found:
        """The best candidates for each of these counts of devices, or of all of them together.

        Args:
            limit: a score that is known to be reached elsewhere.
        """
        found, effort = [], Effort()
        for table in self.tables(sizes):
            explorer = Explorer(
                self.pricer, self.knobs, self.bounds, keep, together=together, limit=limit
            )
            one = explorer.run(table)
            effort = added(effort, one.effort)
            if rows(one.table):
                found.append(one)
                if together and len(one.score) >= keep:
                    limit = min(limit, float(one.score[keep - 1]))
        return _merged(found, effort, keep if together else None)

    def best_count(self, sizes: tuple[int, ...], keep: int) -> Found:
        """The best candidates over all these counts of devices, which are in order.

        Where trying every count is much work, a few are tried from the smallest up, until more
        devices have made it worse twice, and then those around the best of them: what a goal gains
        and loses by more devices changes slowly with their number.
        """
        found, worse = _merged([], Effort(), keep), 0
        tried = set(sizes[::-1][::_STRIDE])
        for devices in sorted(tried):
            before = found
            found = self._better_of(found, (devices,), keep)
            worse = 0 if _first(found) < _first(before) else worse + bool(len(found.score))
            if worse == _WORSE and found.effort.families > _FAMILIES_EASY:
                break
        if found.effort.families <= _FAMILIES_EASY or not len(found.score):
            return self._better_of(found, tuple(n for n in sizes if n not in tried), keep)
        stride = _STRIDE // 2
        while stride:
            best = sizes.index(int(found.table["devices"][0]))
            near = sizes[max(best - stride, 0) : best + stride + 1 : stride]
            found = self._better_of(found, tuple(n for n in near if n not in tried), keep)
            tried |= set(near)
            stride //= 2
        return found

    def _better_of(self, found: Found, sizes: tuple[int, ...], keep: int) -> Found:
        """The best of what is found already and of further counts of devices."""
        limit = float(found.score[keep - 1]) if len(found.score) >= keep else np.inf
        more = self.best(sizes, keep, together=True, limit=limit)
        parts = [one for one in (found, more) if len(one.score)]
        return _merged(parts, added(found.effort, more.effort), keep)

    def tables(self, sizes: tuple[int, ...]) -> Iterator[Table]:
        """Families of these counts of devices in order, a few counts at a time."""
        q, start, step = self.question, 0, 1
        while start < len(sizes):
            part = sizes[start : start + step]
            table = pinned(families(q.model, q.training, part, self.space, q.ability), q)
            if rows(table):
                yield table
            start += step
            # The next counts are larger, and have more families.
            most = 2 * rows(table) // step
            step = min(max(_FAMILIES // max(most, 1), 1), 2 * step, _SIZES)

    @property
    def knobs(self) -> Knobs:
        """The choices that are added to families."""
        return Knobs(self.space, self.question.ability, self.question.model)

    def plans(self, found: Found) -> tuple[PricedPlan, ...]:
        """Found candidates with all their figures, in the same order."""
        if not len(found.score):
            return ()
        return priced(found.table, found.score, self.question, self.pricer)


def _first(found: Found) -> float:
    return float(found.score[0]) if len(found.score) else float("inf")


def _merged(found: list[Found], effort: Effort, keep: int | None) -> Found:
    """All that was found, or the best few of it."""
    if not found:
        return Found(table={}, score=np.zeros(0), effort=effort)
    table = join([one.table for one in found])
    score = np.concatenate([one.score for one in found])
    if keep is None:
        return Found(table=table, score=score, effort=effort)
    order = np.argsort(score, kind="stable")[:keep]
    return Found(table=take(table, order), score=score[order], effort=effort)


def pool_search(
    question: Question, pool: Pool, coefficients: Coefficients, devices: int
) -> PoolSearch:
    """The search of one pool."""
    site = question.fleet.site(pool.site)
    pricer = Pricer(
        question.model,
        question.training,
        pool,
        site,
        goal_of(question.goal),
        coefficients,
        question.stage_layers,
    )
    space = question.space or space_of(
        question.model, question.training, pool, devices, question.ability
    )
    pins = dict(question.pins)
    if question.stage_layers:
        pins["pp"] = len(question.stage_layers)
    space = narrowed(space, pins, question.model, pool, question.ability)
    return PoolSearch(question, pool, space, pricer)


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
    """The families that keep to pins which the values of the space do not enforce."""
    pins, fits = question.pins, np.ones(rows(table), dtype=np.bool_)
    if "dp_replicate" in pins:
        fits &= table["dp"] // table["dp_shard"] == int(pins["dp_replicate"])
    # One stage is written as 1F1B, and schedules other than interleaving have their own pieces.
    if "schedule" in pins:
        fits &= table["schedule"] == SCHEDULES.index(str(pins["schedule"]))
    if "virtual_stages" in pins:
        fits &= table["virtual_stages"] == int(pins["virtual_stages"])
    if pins.get("compression", "none") != "none":
        fits &= table["dp"] > 1
    # One pool is one site, in step at every step.
    fits &= all(int(pins.get(name, 1)) == 1 for name in ("sites", "sync_every"))
    table = take(table, fits)
    return with_split(table, question.stage_layers) if question.stage_layers else table


def priced(
    table: Table, score: Floats, question: Question, pricer: Pricer
) -> tuple[PricedPlan, ...]:
    """Complete candidates with all their figures.

    Args:
        score: of each candidate, as the search compared them.
    """
    each = [take(table, slice(row, row + 1)) for row in range(rows(table))]
    return tuple(_priced(one, float(score[row]), question, pricer) for row, one in enumerate(each))


def _priced(one: Table, score: float, question: Question, pricer: Pricer) -> PricedPlan:
    step = pricer.full_time(one)
    bill, pool = pricer.bill(one, step), pricer.pool
    devices, seconds = int(one["devices"][0]), float(step.p50_s[0])
    could = devices * pool.accelerator.flops_per_s[question.training.precision] * seconds
    plan = plan_of(one, 0, question.model, question.training, question.stage_layers)
    return PricedPlan(
        plan=replace(plan, rank_map="torus" if pool.torus else "node-major"),
        pool=pool.name,
        devices=devices,
        step_time_s=seconds,
        step_time_s_p90=float(step.p90_s[0]),
        parts_s={name: float(part[0]) for name, part in step.parts_s.items()},
        tokens_per_s=pricer.tokens / seconds,
        mfu=float(step.model_flops[0]) / could,
        hfu=float(step.hardware_flops[0]) / could,
        stage_memory=pricer.stage_memory(plan),
        energy_j_per_step=float(bill.energy_j[0]),
        usd_per_step=None if bill.usd is None else float(bill.usd[0]),
        co2_g_per_step=None if bill.co2_g is None else float(bill.co2_g[0]),
        score=score,
    )
