"""Bounds that no candidate below a partly chosen one can beat.

A bound is the cost formulas themselves at the open knobs' best corner: nothing recomputed, nothing
offloaded, the cheapest exchange of gradients for time; most recomputed and offloaded for memory.
Where no corner is best for certain, the bound is the least over all of them. The formulas are
monotone between corners: recompute and offload only add time, and memory is linear in the share of
blocks recomputed.

What measured rows have taught may lower a time again. The correction hardly changes with a knob but
for recompute: once that is chosen it is computed, before that the least of a sample of the table
stands for it, with a margin. Tests hold the search against pricing every candidate.
"""

from collections.abc import Iterator

import numpy as np

from irongrid.domain.plan import OFFLOADS, RECOMPUTE
from irongrid.planner.pricing import Pricer
from irongrid.planner.space import NONE, SHARES, Space
from irongrid.planner.table import Floats, Table, rows, take

_NOTHING, _FULL = RECOMPUTE.index("none"), RECOMPUTE.index("full")
_OPTIMIZER = OFFLOADS.index("optimizer")
# Candidates from which the reach of the correction over a whole table is judged, and by how much
# it may be larger elsewhere.
_SAMPLE, _MARGIN = 512, 1.5
# Rows that are bounded at once: their columns stay in the processor's cache.
_ROWS = 2**15


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
        self._pull_down = 0.0

    def survey(self, table: Table) -> None:
        """Learns how far measured rows pull any candidate of the table down, from a sample."""
        if not rows(table):
            return
        part = take(table, slice(None, None, max(rows(table) // _SAMPLE, 1)))
        corner = self._corner(part, _NOTHING, NONE)
        self._drop_dearer_compressions(corner)
        if self._pricer.correction.is_nothing:
            return
        seconds = self._pricer.formula(corner).total_s
        for recompute in (_NOTHING, _FULL):
            corner["recompute"] = np.full_like(part["tp"], recompute)
            found = self._pricer.correction.at(self._pricer.features(corner, seconds))
            self._pull_down = min(self._pull_down, float(_MARGIN * found.min()))

    def _drop_dearer_compressions(self, corner: Table) -> None:
        """Keeps the compressions that are the fastest of all for any candidate of the sample."""
        corner = dict(corner)
        times = []
        for code in self._compressions:
            corner["compression"] = np.full_like(corner["tp"], code)
            times.append(self._pricer.formula(corner).total_s)
        fastest = set(np.argmin(times, axis=0).tolist())
        self._compressions = tuple(self._compressions[place] for place in sorted(fastest))

    def rough_score(self, table: Table) -> Floats:
        """The least score that the open knobs allow, quickly: for the order of a whole table."""
        return np.concatenate([self._score(part, rough=True) for part in _parts(table)])

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
            shift: Floats | float = self._pull_down
            if not rough and "recompute" in table and not self._pricer.correction.is_nothing:
                features = self._pricer.features(corner, formula.total_s)
                shift = self._pricer.correction.at(features)
            found = self._pricer.score(corner, formula.shifted(shift))
            least = found if least is None else np.minimum(least, found)
        assert least is not None, "a space names at least one compression"
        return least

    def memory_bytes(self, table: Table) -> Floats:
        """The least p95 of peak memory that the open knobs allow."""
        return np.concatenate([self._memory_bytes(part) for part in _parts(table)])

    def _memory_bytes(self, table: Table) -> Floats:
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


def _parts(table: Table) -> Iterator[Table]:
    """The table, a few rows at a time; an empty one too."""
    for start in range(0, max(rows(table), 1), _ROWS):
        yield take(table, slice(start, start + _ROWS))
