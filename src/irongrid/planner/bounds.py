"""Bounds that no candidate below a partly chosen one can beat.

A bound is the cost formulas themselves at the open knobs' best corner: nothing recomputed, nothing
offloaded, the cheapest exchange of gradients for time; most recomputed and offloaded for memory.
Where no corner is best for certain, the bound is the least over all of them. The formulas are
monotone between corners: recompute and offload only add time, and memory is linear in the share of
blocks recomputed.

What measured rows have taught may lower a time again: by no more than the least correction of any
way to recompute and any time from the formulas' bound upwards, see `planner/correction.py`.
"""

from collections.abc import Iterator

import numpy as np

from irongrid.domain.plan import OFFLOADS, RECOMPUTE
from irongrid.planner.pricing import Formula, Pricer
from irongrid.planner.space import NONE, SHARES, Space
from irongrid.planner.table import Array, Floats, Table, rows, take

_NOTHING, _FULL = RECOMPUTE.index("none"), RECOMPUTE.index("full")
_OPTIMIZER = OFFLOADS.index("optimizer")
# Columns by which measured rows may tell one candidate from another, beside its time.
_KIND = (
    "tp", "pp", "cp", "ep", "dp", "micro_batch", "grad_accum", "virtual_stages", "devices",
)  # fmt: skip
_RECOMPUTE = ("recompute", "recompute_share")
# Odd numbers that spread small integers over 64 bits.
_SPREAD = 0x9E3779B97F4A7C15
# Rows that are bounded at once: their columns stay in the processor's cache.
_ROWS = 2**15


class Bounds:
    """Bounds for candidates whose knobs are chosen one after the other."""

    def __init__(self, pricer: Pricer, space: Space) -> None:
        self._pricer = pricer
        compressions = tuple(sorted({NONE, *space.codes("compression")}))
        self._compression = pricer.cheapest_compression(compressions)
        self._sequence_parallel = int(True in space.sequence_parallel)
        self._recomputes = space.codes("recompute")
        offloads = set(space.codes("offload"))
        # Where the optimizer may leave the device, no part of memory is larger than if it stays.
        if _OPTIMIZER in offloads:
            offloads.discard(NONE)
        self._offloads = tuple(sorted(offloads))
        # Measured rows tell recompute in full apart from the rest, by its share.
        full = [{"recompute": _FULL, "recompute_share": share} for share in space.recompute_share]
        other = [{"recompute": _NOTHING, "recompute_share": SHARES}]
        codes = set(self._recomputes)
        self._variants = (full if _FULL in codes else []) + (other if codes != {_FULL} else [])

    def rough_score(self, table: Table) -> Floats:
        """The least score that the open knobs allow, quickly: for the order of a whole table."""
        return np.concatenate([self._score(part, rough=True) for part in _parts(table)])

    def score(self, table: Table) -> Floats:
        """The least score that the open knobs allow."""
        return np.concatenate([self._score(part, rough=False) for part in _parts(table)])

    def _score(self, table: Table, rough: bool) -> Floats:
        corner = self._corner(table, _NOTHING, NONE)
        formula = self._pricer.formula(corner)
        shift = self._pricer.correction.least if rough else self._shift(table, corner, formula)
        return self._pricer.score(corner, formula.shifted(shift))

    def _shift(self, table: Table, corner: Table, formula: Formula) -> Floats | float:
        """The least correction of each candidate, that takes as long by the formulas or longer."""
        if self._pricer.correction.is_nothing or not rows(table):
            return 0.0
        time = formula.total_s / table["grad_accum"]
        known = "recompute" in table
        first, group = _groups(table, (*_KIND, *(_RECOMPUTE if known else ())))
        kinds = take(corner, first)
        like = kinds["tp"]
        variants = [
            kinds if known else kinds | {name: np.full_like(like, n) for name, n in pair.items()}
            for pair in ([{}] if known else self._variants)
        ]
        floor = self._pricer.correction.floor(
            [self._pricer.features(one, np.ones(len(like))) for one in variants],
            float(time.min()),
            float(time.max()),
            slower_is_worse=set(self._pricer.goal.weights) == {"time"},
        )
        return floor.at(group, time)

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
            "compression": self._compression,
        }
        return {name: np.full_like(like, value) for name, value in filled.items()} | table


def _parts(table: Table) -> Iterator[Table]:
    """The table, a few rows at a time; an empty one too."""
    for start in range(0, max(rows(table), 1), _ROWS):
        yield take(table, slice(start, start + _ROWS))


def _groups(table: Table, names: tuple[str, ...]) -> tuple[Array, Array]:
    """Rows that stand for all that equal them in these columns, and for each row its group."""
    mixed = np.zeros(rows(table), dtype=np.uint64)
    for name in names:
        mixed = (mixed + table[name].astype(np.uint64)) * np.uint64(_SPREAD)
        mixed ^= mixed >> np.uint64(29)
    _, first, group = np.unique(mixed, return_index=True, return_inverse=True)
    # Different rows that fall together by chance would get each other's floor.
    if all(np.array_equal(table[name][first][group], table[name]) for name in names):
        return first, group
    every = np.arange(rows(table))
    return every, every
