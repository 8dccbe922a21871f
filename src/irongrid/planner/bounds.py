"""Bounds that no candidate below a partly chosen one can beat.

A bound is the cost formulas themselves at the open knobs' best corner: nothing recomputed, nothing
offloaded, the cheapest exchange of gradients for time; most recomputed and offloaded for memory.
Where no corner is best for certain, the bound is the least over all of them. The formulas are
monotone between corners: recompute and offload only add time, and memory is linear in the share of
blocks recomputed. Tests hold the search against pricing every candidate.
"""

import numpy as np

from irongrid.domain.plan import OFFLOADS, RECOMPUTE
from irongrid.planner.pricing import Floats, Pricer
from irongrid.planner.space import NONE, SHARES, Space
from irongrid.planner.table import Table

_PARAMETERS, _OPTIMIZER = OFFLOADS.index("parameters"), OFFLOADS.index("optimizer")


class Bounds:
    """Bounds for candidates whose knobs are chosen one after the other."""

    def __init__(self, pricer: Pricer, space: Space) -> None:
        self._pricer = pricer
        self._compressions = tuple({NONE, *space.codes("compression")})
        self._sequence_parallel = int(True in space.sequence_parallel)
        self._recomputes = space.codes("recompute")
        offloads = set(space.codes("offload"))
        # Where weights leave the device the optimizer goes with them, and where it leaves, no part
        # of memory is larger than with nothing offloaded.
        if _OPTIMIZER in offloads:
            offloads.discard(NONE)
        self._offloads = tuple(sorted(offloads))

    def score(self, table: Table) -> Floats:
        """The least score that the open knobs allow."""
        corner = self._corner(table, RECOMPUTE.index("none"), NONE)
        least: Floats | None = None
        compressions = (None,) if "compression" in table else self._compressions
        for code in compressions:
            if code is not None:
                corner["compression"] = np.full_like(table["tp"], code)
            found = self._pricer.score(corner, self._pricer.time(corner))
            least = found if least is None else np.minimum(least, found)
        assert least is not None, "a space names at least one compression"
        return least

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
