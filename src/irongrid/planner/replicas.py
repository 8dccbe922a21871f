"""One plan whose data-parallel replicas stand in two pools: slower devices take fewer samples.

Both pools stand at one site and hold whole replicas of the same split. In one step a replica of the
one pool takes `micro_batch x grad_accum` samples, one of the other pool as many fewer as it is
slower; then all of them average their gradients, by samples, over the slower network. The shares
are whole micro-batches and add up to the global batch exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from math import floor, gcd

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import Layout, Machine
from irongrid.cost.inputs import work_of
from irongrid.cost.memory import peak_memory
from irongrid.cost.step import formula_time, step_time
from irongrid.domain.fleet import Pool
from irongrid.domain.plan import RECOMPUTE, ZERO, Replicas
from irongrid.domain.runtime import runnable_by
from irongrid.planner.answer import PricedPlan
from irongrid.planner.by_stage import memory_by_stage
from irongrid.planner.question import Question
from irongrid.planner.rows import layout, plan_of
from irongrid.planner.sides import (
    Candidates,
    Side,
    Sides,
    bill_of,
    counts,
    fills_islands,
    machines_of,
    pinned,
    score_of,
)
from irongrid.planner.space import SHARES, divisors, families, fills, space_of
from irongrid.planner.table import Floats, Table, column, cross, options, rows, take

_MICRO_BATCHES = (1, 2, 4, 8, 16)
_VIRTUAL_STAGES = (1, 2, 4)
_CP_MAX = 8
# Splits whose shares are worked out, of all that were priced with equal ones.
_SPLITS = 48
# Whole shares that are tried around the balance of both pools.
_AROUND = (-1, 0, 1)


def over_replicas(question: Question, coefficients: Coefficients) -> tuple[PricedPlan, ...]:
    """The best plans with replicas in two pools of one site; none where no runtime can."""
    if not question.ability.mixed_devices or question.pool is not None or question.space:
        return ()
    precision = question.training.precision
    found = [
        plan
        for pools in combinations(question.fleet.pools, 2)
        if pools[0].site == pools[1].site
        and all(precision in pool.accelerator.flops_per_s for pool in pools)
        for plan in _of_pair(question, pools, coefficients)
    ]
    found.sort(key=lambda plan: plan.score)
    return tuple(found[: question.keep])


def _of_pair(
    question: Question, pools: tuple[Pool, Pool], coefficients: Coefficients
) -> tuple[PricedPlan, ...]:
    splits = _splits(question, pools)
    if not rows(splits):
        return ()
    pair = _Pair(question, pools, machines_of(question, pools), coefficients)
    table = pair.shared(pair.promising(splits))
    if not rows(table):
        return ()
    made = pair.candidates(table)
    fits = made.sides[0].fits & made.sides[1].fits
    score = np.where(fits, score_of(question, made.bill), np.inf)
    best: list[PricedPlan] = []
    seen: set[int] = set()
    for row in np.argsort(score, kind="stable").tolist():
        split = int(table["split"][row])
        if len(best) == question.keep or not np.isfinite(score[row]):
            break
        if split not in seen:
            seen.add(split)
            best.append(_priced(row, made, float(score[row]), coefficients))
    return tuple(best)


def _splits(question: Question, pools: tuple[Pool, Pool]) -> Table:
    """How one replica may be split and sharded, and how many of it each pool holds."""
    model, training, ability = question.model, question.training, question.ability
    most = min(pool.devices for pool in pools)
    space = space_of(model, training, pools[0], most, ability)
    space = replace(
        space,
        tp=tuple(tp for tp in space.tp if fills_islands(tp, pools)),
        cp=tuple(cp for cp in space.cp if cp <= _CP_MAX),
        ep=(1,),
        dp=(1,),
        dp_shard=(1,),
        micro_batch=(1,),
        virtual_stages=_VIRTUAL_STAGES,
    )
    widths = {tp * pp * cp for tp in space.tp for pp in space.pp for cp in space.cp}
    sizes = tuple(sorted(width for width in widths if width <= most))
    table = families(model, training, sizes, space, ability)
    for name in ("micro_batch", "grad_accum"):
        del table[name]
    table["width"] = table.pop("devices")
    held = counts(question, pools, sizes)
    table = cross_on(table, held, "width")
    table["dp"] = table["one"] + table["other"]
    table["devices"] = table["dp"] * table["width"]
    table = _sharded(_with_experts(table, question))
    recomputes = [word for word in RECOMPUTE if word in ability.recompute]
    table = cross(table, options("recompute", tuple(RECOMPUTE.index(word) for word in recomputes)))
    one, nothing = np.ones_like(table["tp"]), np.zeros_like(table["tp"])
    table |= {
        "recompute_share": one * SHARES,
        "offload": nothing,
        "offload_tier": nothing,
        "sequence_parallel": (table["tp"] > 1).astype(np.int64),
        "context": nothing,
        "compression": nothing,
    }
    table = pinned(table, question)
    table["split"] = np.arange(rows(table), dtype=np.int64)
    return table


def cross_on(table: Table, other: Table, name: str) -> Table:
    """Every row with every row of the other table that has the same value there."""
    order = np.argsort(other[name], kind="stable")
    keys = other[name][order]
    first = np.searchsorted(keys, table[name], side="left")
    each = np.searchsorted(keys, table[name], side="right") - first
    made = {key: np.repeat(values, each) for key, values in table.items()}
    within = np.arange(int(each.sum())) - np.repeat(np.cumsum(each) - each, each)
    which = order[np.repeat(first, each) + within]
    return made | {key: values[which] for key, values in other.items()}


def _with_experts(table: Table, question: Question) -> Table:
    """Experts over ranks of one pool: tokens travel to them in every layer."""
    experts = question.model.experts
    if experts is None or "ep" not in question.ability.axes:
        return table
    del table["ep"]
    inside = np.gcd(table["one"], table["other"]) * table["tp"] * table["cp"]
    return cross(
        table | {"inside": inside},
        options("ep", divisors(experts.count, experts.count)),
        lambda made: made["inside"] % made["ep"] == 0,
    )


def _sharded(table: Table) -> Table:
    """Whole copies; the optimizer over all replicas; or gradients and weights over one pool's.

    Those travel in every pass, of which the pools make unequally many.
    """
    del table["dp_shard"]
    none, zero_1, zero_2, fsdp = (ZERO.index(word) for word in ("none", "1", "2", "fsdp"))
    inside = np.gcd(table["one"], table["other"])
    table = cross(table | {"inside": inside}, {"zero": column(none, zero_1, zero_2, fsdp)})
    zero = table["zero"]
    table["dp_shard"] = np.select(
        [zero == none, zero == zero_1], [np.ones_like(zero), table["dp"]], table["inside"]
    )
    return take(table, (zero == none) | (table["dp_shard"] > 1))


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two pools, and what their shares of a split take."""

    question: Question
    pools: tuple[Pool, Pool]
    machines: tuple[Machine, Machine]
    coefficients: Coefficients

    def promising(self, splits: Table) -> Table:
        """The fastest splits with the best micro-batches of each pool, and single samples.

        Every replica is priced with an equal share here, and each pool then takes as much of the
        batch as its time for a sample allows.
        """
        batch = self.question.training.global_batch
        table = cross(splits, options("micro_batch", _MICRO_BATCHES))
        table["grad_accum"] = np.maximum(batch // (table["dp"] * table["micro_batch"]), 1)
        table = take(table, table["dp"] * table["micro_batch"] <= batch)
        count, rates = rows(splits), []
        for side in (0, 1):
            rate = self._samples_per_s(table, side)
            best = np.zeros((count, len(_MICRO_BATCHES)))
            place = np.searchsorted(np.array(_MICRO_BATCHES), table["micro_batch"])
            best[table["split"], place] = rate
            rates.append(best)
        first, second = (rate.max(axis=1) for rate in rates)
        whole = first * splits["one"] + second * splits["other"]
        whole = np.where((first > 0) & (second > 0), whole, 0.0)
        order = np.argsort(-whole, kind="stable")[:_SPLITS]
        order = order[whole[order] > 0]
        sizes = np.array(_MICRO_BATCHES)
        fastest = [sizes[rate[order].argmax(axis=1)] for rate in rates]
        pairs = [
            take(splits, order) | {"first_micro": mine, "second_micro": other}
            for mine in (fastest[0], np.ones_like(fastest[0]))
            for other in (fastest[1], np.ones_like(fastest[1]))
        ]
        return {name: np.concatenate([pair[name] for pair in pairs]) for name in pairs[0]}

    def _samples_per_s(self, table: Table, side: int) -> Floats:
        """Of one replica; 0 where it does not fit."""
        work, columns = work_of(self.question.model, self.question.training), layout(table)
        _, seconds = formula_time(work, self.machines[side], columns, self.coefficients)
        samples = table["micro_batch"] * table["grad_accum"]
        room = self.pools[side].accelerator.memory_bytes
        return np.where(self._p95_bytes(columns, side) <= room, samples / seconds, 0.0)

    def _p95_bytes(self, columns: Layout, side: int) -> Floats:
        memory = self.coefficients.memory
        assert memory is not None, "coefficients were read without those of memory"
        work = work_of(self.question.model, self.question.training)
        return peak_memory(work, self.machines[side], columns, memory).p95_bytes

    def shared(self, table: Table) -> Table:
        """The whole shares of the batch with which both pools take about equally long."""
        if not rows(table):
            return table
        balance = self._balance(table)
        batch, found = self.question.training.global_batch, []
        for row in range(rows(table)):
            one = int(table["one"][row] * table["first_micro"][row])
            other = int(table["other"][row] * table["second_micro"][row])
            for passes in whole_shares(batch, one, other, float(balance[row])):
                found.append((row, *passes))
        picked = np.array(found, dtype=np.int64).reshape(-1, 3)
        table = take(table, picked[:, 0])
        table |= {"first_accum": picked[:, 1], "second_accum": picked[:, 2]}
        fit = [
            fills(table["schedule"], table["pp"], table[name]) | (table["pp"] == 1)
            for name in ("first_accum", "second_accum")
        ]
        table = take(table, fit[0] & fit[1])
        return table | {"micro_batch": table["first_micro"], "grad_accum": table["first_accum"]}

    def _balance(self, table: Table) -> Floats:
        """Passes of the first pool, as a real number, with which both take equally long.

        A step is taken for linear in its passes, by its time with an equal share and with twice it.
        """
        batch = self.question.training.global_batch
        fixed, slope = [], []
        for side, name in enumerate(("first_micro", "second_micro")):
            passes = np.maximum(batch // (table["dp"] * table[name]), 1)
            single, double = (
                self._step(table | {"micro_batch": table[name], "grad_accum": n * passes}, side)
                for n in (1, 2)
            )
            slope.append((double - single) / passes)
            fixed.append(single - passes * slope[side])
        a, b = table["one"] * table["first_micro"], table["other"] * table["second_micro"]
        # fixed_1 + slope_1 x = fixed_2 + slope_2 y, with a x + b y = batch.
        level = fixed[1] - fixed[0] + slope[1] * batch / b
        return np.asarray(level / (slope[0] + slope[1] * a / b))

    def _step(self, table: Table, side: int) -> Floats:
        work = work_of(self.question.model, self.question.training)
        return step_time(work, self.machines[side], layout(table), self.coefficients).p50_s

    def candidates(self, table: Table) -> Candidates:
        """All figures of candidates whose shares are chosen."""
        work = work_of(self.question.model, self.question.training)
        sides = []
        for side, (name, held) in enumerate((("first", "one"), ("second", "other"))):
            mine = {"micro_batch": table[f"{name}_micro"], "grad_accum": table[f"{name}_accum"]}
            columns = layout(table | mine)
            sides.append(
                Side(
                    pool=self.pools[side],
                    machine=self.machines[side],
                    devices=np.asarray(table[held] * table["width"], dtype=np.float64),
                    step=step_time(work, self.machines[side], columns, self.coefficients),
                    p95_bytes=self._p95_bytes(columns, side),
                )
            )
        both: Sides = (sides[0], sides[1])
        return Candidates(self.question, table, both, bill_of(self.question, both))


def whole_shares(batch: int, one: int, other: int, balance: float) -> Iterator[tuple[int, int]]:
    """Passes `x` and `y` of two pools with `one x + other y = batch`, for `x` near the balance.

    Args:
        one, other: samples of a pool in one pass of all its replicas.
    """
    common = gcd(one, other)
    if batch % common:
        return
    every = other // common
    least = (batch // common * pow(one // common, -1, every)) % every if every > 1 else 0
    nearest = floor((balance - least) / every + 0.5)
    for away in _AROUND:
        x = least + every * (nearest + away)
        if x >= 1 and batch - one * x >= other:
            yield x, (batch - one * x) // other


def _priced(row: int, made: Candidates, score: float, coefficients: Coefficients) -> PricedPlan:
    question, table = made.question, made.table
    slower = made.slower(row)
    named = {
        name: Replicas(
            pool=side.pool.name,
            count=int(table[held][row]),
            micro_batch=int(table[f"{name}_micro"][row]),
            grad_accum=int(table[f"{name}_accum"][row]),
        )
        for name, held, side in zip(("first", "second"), ("one", "other"), made.sides, strict=True)
    }
    # The first pool is the one that the other waits for.
    parts = sorted(named.values(), key=lambda part: part.pool != slower.pool.name)
    plan = replace(
        plan_of(take(table, np.array([row])), 0, question.model, question.training),
        micro_batch=parts[0].micro_batch,
        grad_accum=parts[0].grad_accum,
        replicas=tuple(parts),
    )
    plan = replace(plan, runnable_by=runnable_by(plan))
    pools = {side.pool.name: side.pool for side in made.sides}
    memory = memory_by_stage(plan, question.model, question.training, pools, coefficients)
    times = {side.pool.name: float(side.step.p50_s[row]) for side in made.sides}
    shares = " and ".join(
        f"{part.micro_batch} x {part.grad_accum} samples on {part.pool} in {times[part.pool]:.3g} s"
        for part in parts
    )
    why = f"Each replica takes {shares}; gradients are averaged by samples."
    return made.priced(row, plan, tuple(part.pool for part in parts), memory, score, why)
