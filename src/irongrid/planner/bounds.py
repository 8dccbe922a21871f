"""Bounds that no candidate below a partly chosen one can beat.

A bound is the cost formulas themselves at the open knobs' best corner: nothing recomputed, nothing
offloaded, the cheapest exchange of gradients for time; most recomputed and offloaded for memory.
Where no corner is best for certain, the bound is the least over all of them. The formulas are
monotone between corners: recompute and offload only add time, and memory is linear in the share of
blocks recomputed. What measured rows have taught may lower a time again, by as much as `correction`
says. Tests hold the search against pricing every candidate.
"""

import numpy as np

from irongrid.domain.plan import OFFLOADS, RECOMPUTE
from irongrid.planner.correction import Correction
from irongrid.planner.pricing import Floats, Formula, Pricer
from irongrid.planner.space import NONE, SHARES, Space
from irongrid.planner.table import Table, rows, take

_NOTHING, _FULL = RECOMPUTE.index("none"), RECOMPUTE.index("full")
_OPTIMIZER = OFFLOADS.index("optimizer")
# Candidates by which the reach of the correction over a whole table is judged at once.
_SAMPLE = 65_536


class Bounds:
    """Bounds for candidates whose knobs are chosen one after the other."""

    def __init__(self, pricer: Pricer, space: Space) -> None:
        self._pricer = pricer
        self._compressions = tuple({NONE, *space.codes("compression")})
        self._sequence_parallel = int(True in space.sequence_parallel)
        self._recomputes = space.codes("recompute")
        offloads = set(space.codes("offload"))
        # Where the optimizer may leave the device, no part of memory is larger than if it stays.
        if _OPTIMIZER in offloads:
            offloads.discard(NONE)
        self._offloads = tuple(sorted(offloads))
        self._correction = Correction(pricer.residual)
        self._slack = self._room = 0.0

    def survey(self, table: Table) -> None:
        """Learns how far the correction can go for any candidate of the table."""
        if self._correction.is_nothing or not rows(table):
            return
        low = high = None
        for start in range(0, rows(table), _SAMPLE):
            part = take(table, slice(start, start + _SAMPLE))
            corner = self._corner(part, _NOTHING, NONE)
            seconds = self._pricer.formula(corner).total_s
            for recompute in (_NOTHING, _FULL):
                corner["recompute"] = np.full_like(part["tp"], recompute)
                found = self._pricer.features(corner, seconds)
                least, most = found.min(axis=0), found.max(axis=0)
                low = least if low is None else np.minimum(low, least)
                high = most if high is None else np.maximum(high, most)
        assert low is not None and high is not None, "the table has rows"
        down, up = self._correction.reach(low, high)
        self._correction = self._correction.near(low, high)
        self._slack, self._room = down, up - down

    def rough_score(self, table: Table) -> Floats:
        """The least score that the open knobs allow, quickly: for the order of a whole table."""
        return self._score(table, rough=True)

    def score(self, table: Table) -> Floats:
        """The least score that the open knobs allow."""
        return self._score(table, rough=False)

    def _score(self, table: Table, rough: bool) -> Floats:
        corner = self._corner(table, _NOTHING, NONE)
        least: Floats | None = None
        compressions = (None,) if "compression" in table else self._compressions
        for code in compressions:
            if code is not None:
                corner["compression"] = np.full_like(table["tp"], code)
            formula = self._pricer.formula(corner)
            shift = self._slack if rough else self._shift(table, corner, formula)
            found = self._pricer.score(corner, formula.shifted(shift))
            least = found if least is None else np.minimum(least, found)
        assert least is not None, "a space names at least one compression"
        return least

    def _shift(self, table: Table, corner: Table, formula: Formula) -> Floats | float:
        """The least correction of each candidate.

        A candidate slower than this by more than the correction's whole room is no better than the
        bound whatever its own correction, so only times below that need to be looked at.
        """
        if self._correction.is_nothing:
            return 0.0
        slow = formula.total_s * np.exp(self._room)
        recomputes = (None,) if "recompute" in table else (_NOTHING, _FULL)
        boxes = []
        for recompute in recomputes:
            if recompute is not None:
                corner = corner | {"recompute": np.full_like(table["tp"], recompute)}
            boxes += [self._pricer.features(corner, s) for s in (formula.total_s, slow)]
        return self._correction.least(np.minimum.reduce(boxes), np.maximum.reduce(boxes))

    def memory_bytes(self, table: Table) -> Floats:
        """The least p95 of peak memory that the open knobs allow."""
        least = np.full(len(table["tp"]), np.inf)
        recomputes = (NONE,) if "recompute" in table else self._recomputes
        offloads = (NONE,) if "offload" in table else self._offloads
        for recompute in recomputes:
            for offload in offloads:
                corner = self._corner(table, recompute, offload)
                least = np.minimum(least, self._pricer.memory(corner).p95_bytes)
        return least

    def _corner(self, table: Table, recompute: int, offload: int) -> Table:
        like = table["tp"]
        filled = {
            "recompute": recompute,
            "recompute_share": SHARES,
            "offload": offload,
            "offload_tier": 0,
            "sequence_parallel": self._sequence_parallel,
            "compression": NONE,
        }
        return {name: np.full_like(like, value) for name, value in filled.items()} | table
