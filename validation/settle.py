"""What a run recomputed and sharded whose source does not say: as little as its memory allows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from validation.rows import Row, inputs_of

from irongrid.cost.coefficients import BEHAVIOURS
from irongrid.cost.memory import peak_memory
from irongrid.cost.memory_coefficients import MemoryCoefficients
from irongrid.domain.plan import RECOMPUTE, ZERO
from irongrid.spec.catalog import load_coefficients

# Shares of the blocks that frameworks let one recompute, least first.
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a row may mean: weights sharded or not, and the share of the blocks recomputed."""

    sharded: bool
    share: float

    def of(self, row: Row) -> Row | None:
        """The row read so; None where the row says otherwise."""
        if (self.sharded and not row.shards_unknown) or (self.share and not row.recomputes_unknown):
            return None
        values, told = dict(row.values), list(row.assumed)
        if self.sharded:
            ranks = values["dp_replicate"] * values["dp_shard"]
            values |= {"zero": float(ZERO.index("fsdp")), "dp_replicate": 1.0, "dp_shard": ranks}
            told = [word for word in told if not word.startswith("zero=")] + ["zero=fsdp"]
        if self.share:
            values |= {"recompute": float(RECOMPUTE.index("full")), "recompute_share": self.share}
            told = [word for word in told if word != "recompute=none"]
            told.append(f"recompute=full in {self.share:.0%} of the blocks")
        return replace(row, values=values, assumed=tuple(told))


_READINGS = tuple(_Reading(sharded, share) for sharded in (False, True) for share in _SHARES)


def settled(rows: Sequence[Row]) -> list[Row]:
    """The rows with what they leave open settled by the first reading that fits their device.

    First come growing shares of the blocks recomputed, then the same with sharded weights. Peak
    memory is that of the shipped fit, which no step time entered. Where nothing fits, the memory
    formulas are not trusted, and the row stays as it is.
    """
    memory = MemoryCoefficients.from_json(load_coefficients()["memory"], BEHAVIOURS)
    done = list(rows)
    left = [i for i, row in enumerate(rows) if row.recomputes_unknown or row.shards_unknown]
    for reading in _READINGS:
        read = [(i, found) for i in left if (found := reading.of(rows[i])) is not None]
        if not read:
            continue
        inputs = inputs_of([row.values for _, row in read])
        fits = peak_memory(*inputs, memory).p50_bytes <= inputs[1].memory_bytes
        for (index, row), fit in zip(read, np.broadcast_to(fits, len(read)), strict=True):
            if fit:
                done[index] = row
                left.remove(index)
    return done
