"""What a run recomputed whose source does not say: as little as its memory allows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from validation.rows import Row, inputs_of

from irongrid.cost.coefficients import BEHAVIOURS
from irongrid.cost.memory import peak_memory
from irongrid.cost.memory_coefficients import MemoryCoefficients
from irongrid.domain.plan import RECOMPUTE
from irongrid.spec.catalog import load_coefficients

# Shares of the blocks that frameworks let one recompute, least first.
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def settled(rows: Sequence[Row]) -> list[Row]:
    """The rows with recomputation for the smallest share of the blocks that fits their device.

    Peak memory is that of the shipped fit, which no step time entered. Where nothing fits, the
    memory formulas are not trusted, and nothing is recomputed.
    """
    memory = MemoryCoefficients.from_json(load_coefficients()["memory"], BEHAVIOURS)
    open_rows = [row for row in rows if row.recomputes_unknown]
    if not open_rows:
        return list(rows)
    full = float(RECOMPUTE.index("full"))
    least = np.full(len(open_rows), 0.0)
    found = np.zeros(len(open_rows), dtype=bool)
    for share in _SHARES:
        tried = {"recompute": full if share else 0.0, "recompute_share": share or 1.0}
        inputs = inputs_of([{**row.values, **tried} for row in open_rows])
        fits = peak_memory(*inputs, memory).p50_bytes <= inputs[1].memory_bytes
        least = np.where(fits & ~found, share, least)
        found |= np.asarray(fits, dtype=bool)
    shares = iter(least)
    return [_with(row, float(next(shares))) if row.recomputes_unknown else row for row in rows]


def _with(row: Row, share: float) -> Row:
    if not share:
        return row
    tried = {"recompute": float(RECOMPUTE.index("full")), "recompute_share": share}
    told = [told for told in row.assumed if told != "recompute=none"]
    told.append(f"recompute=full in {share:.0%} of the blocks")
    return replace(row, values={**row.values, **tried}, assumed=tuple(told))
