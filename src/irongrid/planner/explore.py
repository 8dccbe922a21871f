"""Branch and bound over tables: the best plans for each count of devices, exactly.

Families are sorted by their bound; the promising ones are completed knob by knob, and whatever
cannot beat the best complete plan so far is dropped at each step. The loop ends when no family's
bound is below the worst plan that would still be kept.
"""

from dataclasses import dataclass

import numpy as np

from irongrid.planner.answer import Effort
from irongrid.planner.bounds import Bounds
from irongrid.planner.knobs import Knobs
from irongrid.planner.pricing import Pricer
from irongrid.planner.table import Array, Floats, Table, join, rows, take

# Families of each size that are opened at first, and how the number grows from round to round.
_FIRST, _GROWTH = 32, 8
# Families that are completed at once, as each has hundreds of candidates.
_ROWS = 2**14


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The kept candidates, by size and score; `size` is a column of the table."""

    table: Table
    score: Floats
    effort: Effort


class Explorer:
    """One search over families of one or several sizes."""

    def __init__(
        self,
        pricer: Pricer,
        knobs: Knobs,
        bounds: Bounds,
        keep: int,
        *,
        together: bool = False,
        limit: float = np.inf,
    ) -> None:
        """
        Args:
            keep: families of which the best candidate is kept.
            together: keep so many over all sizes, not of each.
            limit: a score that is known to be reached elsewhere.
        """
        self._pricer, self._knobs, self._bounds = pricer, knobs, bounds
        self._keep, self._together, self._limit = keep, together, limit
        self._after_bounds = self._evaluated = 0
        self._limits: Floats = np.zeros(0)
        self._kept: list[Table] = []
        self._scores: list[Floats] = []

    def run(self, families: Table) -> Found:
        """The best candidate of each of the best families, for every size."""
        candidates = int(self._knobs.count(families).sum())
        sizes, size = np.unique(families["devices"], return_inverse=True)
        if self._together:
            sizes, size = sizes[:1], np.zeros_like(size)
        families = families | {"size": size.astype(np.int64)}
        self._limits = np.full(len(sizes), self._limit)
        opened = self._knobs.expanded(self._knobs.expanded(families, "zero"), "context")
        score = self._bounds.rough_score(opened)
        order = np.lexsort((score, opened["size"]))
        score, of_size = score[order], opened["size"][order]
        starts = np.searchsorted(of_size, np.arange(len(sizes)))
        place = np.arange(len(score)) - starts[of_size]
        done, upto = 0, _FIRST
        while True:
            left = (place >= done) & (score < self._limits[of_size])
            if not left.any():
                break
            chosen = np.flatnonzero(left & (place < upto))
            for start in range(0, len(chosen), _ROWS):
                part = chosen[start : start + _ROWS]
                part = part[score[part] < self._limits[of_size[part]]]
                self._open(take(opened, order[part]))
            done, upto = upto, upto * _GROWTH
        effort = Effort(
            candidates=candidates,
            families=rows(families),
            after_bounds=self._after_bounds,
            evaluated=self._evaluated,
        )
        return self._found(families, effort)

    def _open(self, table: Table) -> None:
        """Completes families and keeps the best."""
        if not rows(table):
            return
        table = take(table, self._bounds.memory_bytes(table) <= self._pricer.capacity_bytes)
        table = self._promising(table)
        if not rows(table):
            return
        self._settle(self._knobs.samples(table))
        table = self._promising(table)
        for axis in ("recompute", "offload", "sequence_parallel", "compression"):
            if not rows(table):
                return
            table = self._promising(self._knobs.expanded(table, axis))
            if axis != "compression":
                fits = self._bounds.memory_bytes(table) <= self._pricer.capacity_bytes
                table = take(table, fits)
        self._after_bounds += rows(table)
        self._settle(table)

    def _promising(self, table: Table) -> Table:
        if not rows(table):
            return table
        return take(table, self._bounds.score(table) < self._limits[table["size"]])

    def _settle(self, table: Table) -> None:
        """Prices complete candidates and tightens the limits."""
        if not rows(table):
            return
        self._evaluated += rows(table)
        table = take(table, self._pricer.fits(table, self._pricer.memory(table)))
        if not rows(table):
            return
        score = self._pricer.score(table, self._pricer.time(table))
        first = _best_of_each(table["family"], score)
        self._kept.append(take(table, first))
        self._scores.append(score[first])
        self._tighten()

    def _tighten(self) -> None:
        table, score = join(self._kept), np.concatenate(self._scores)
        first = _best_of_each(table["family"], score)
        table, score = take(table, first), score[first]
        order = np.lexsort((score, table["size"]))
        table, score = take(table, order), score[order]
        starts = np.searchsorted(table["size"], np.arange(len(self._limits)))
        place = np.arange(len(score)) - starts[table["size"]]
        last = place == self._keep - 1
        self._limits[table["size"][last]] = np.minimum(score[last], self._limit)
        kept = place < self._keep
        self._kept, self._scores = [take(table, kept)], [score[kept]]

    def _found(self, families: Table, effort: Effort) -> Found:
        if not self._kept:
            return Found(table=take(families, slice(0, 0)), score=np.zeros(0), effort=effort)
        return Found(table=self._kept[0], score=self._scores[0], effort=effort)


def _best_of_each(group: Array, score: Floats) -> Array:
    """Index of the lowest score in each group; of equals the first."""
    order = np.lexsort((np.arange(len(score)), score, group))
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = group[order][1:] != group[order][:-1]
    return order[first]
