"""Peak memory of measured rows, by the shipped fit or by one that did not see their group."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from validation.holdout import GROUPINGS
from validation.memory_fit import Runs, fit
from validation.rows import Row, inputs_of, resolve

from irongrid.cost.coefficients import BEHAVIOURS, Coefficients
from irongrid.cost.memory import peak_memory
from irongrid.cost.memory_coefficients import MemoryCoefficients
from irongrid.spec.catalog import load_coefficients

GIB = 2.0**30
Floats = NDArray[np.float64]


def fits(work, machine, layout):  # type: ignore[no-untyped-def]
    """Whether plans fit their device's memory, by the shipped fit's p50."""
    memory = MemoryCoefficients.from_json(load_coefficients()["memory"], BEHAVIOURS)
    return peak_memory(work, machine, layout, memory).p50_bytes <= machine.memory_bytes


def peak_gib(rows: Sequence[Row], c: Coefficients, by: str = "none") -> tuple[Floats, Floats]:
    """p50 and p95 of each row's peak, GiB.

    Args:
        c: decides where a row leaves a choice.
        by: `none`, or a word of GROUPINGS: a row's group is left out of the fit for it.
    """
    document = load_coefficients()["memory"]
    resolved = resolve(rows, c, fits)
    p50, p95 = _predicted(resolved, document)
    if by == "none":
        return p50, p95
    group_of = GROUPINGS[by]
    known = [row for row in resolved if row.memory_gib is not None and row.quality in "AB"]
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(resolved):
        groups[group_of(row)].append(index)
    for group, members in groups.items():
        seen = [row for row in known if group_of(row) != group]
        if len(seen) == len(known) or not seen:
            continue
        learnt = fit(document, _runs(seen))
        p50[members], p95[members] = _predicted([resolved[i] for i in members], learnt)
    return p50, p95


def _predicted(rows: Sequence[Row], document: dict[str, object]) -> tuple[Floats, Floats]:
    memory = MemoryCoefficients.from_json(document, BEHAVIOURS)
    peak = peak_memory(*inputs_of([row.values for row in rows]), memory)
    return peak.p50_bytes / GIB, peak.p95_bytes / GIB


def _runs(rows: Sequence[Row]) -> Runs:
    work, machine, layout = inputs_of([row.values for row in rows])
    measured = np.array([row.memory_gib for row in rows], dtype=float)
    names = np.array([row.source for row in rows]), np.array([row.model for row in rows])
    return Runs(work, machine, layout, measured, *names)
