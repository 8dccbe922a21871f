"""Peak memory of measured rows, by the shipped fit or by one that did not see their group."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from validation.holdout import GROUPINGS
from validation.memory_fit import Runs, fit, usable
from validation.rows import Row, inputs_of, measured_csv, read_rows, resolve

from irongrid.cost.coefficients import BEHAVIOURS, Coefficients
from irongrid.cost.columns import Layout, Machine, Work
from irongrid.cost.memory import peak_memory
from irongrid.cost.memory_coefficients import MemoryCoefficients
from irongrid.spec.catalog import load_coefficients

GIB = 2.0**30
Floats = NDArray[np.float64]


def fits(work: Work, machine: Machine, layout: Layout) -> NDArray[np.bool_]:
    """Whether plans fit their device's memory, by the shipped fit's p50."""
    memory = MemoryCoefficients.from_json(load_coefficients()["memory"], BEHAVIOURS)
    said = peak_memory(work, machine, layout, memory).p50_bytes
    return np.asarray(said <= machine.memory_bytes)


def peak_gib(rows: Sequence[Row], c: Coefficients, by: str = "none") -> tuple[Floats, Floats]:
    """p50 and p95 of each row's peak, GiB.

    Args:
        c: decides where a row leaves a choice.
        by: `none`, or a word of GROUPINGS: a row's group is left out of the fit for it. Groups
            without a printed peak keep the shipped fit, which learnt nothing from them.
    """
    document = load_coefficients()["memory"]
    resolved = resolve(rows, c, fits)
    p50, p95 = _predicted(resolved, document)
    if by == "none":
        return p50, p95
    group_of = GROUPINGS[by]
    known = _known(resolved, c)
    printed = {group_of(row) for row in known if row.memory_gib is not None}
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(resolved):
        if group_of(row) in printed:
            groups[group_of(row)].append(index)
    for group, members in groups.items():
        learnt = fit(document, Runs.of([row for row in known if group_of(row) != group]))
        p50[members], p95[members] = _predicted([resolved[i] for i in members], learnt)
    return p50, p95


def _known(rows: Sequence[Row], c: Coefficients) -> list[Row]:
    """What a fit may learn from: these rows, and the public ones."""
    ids = {row.row_id for row in rows}
    public = read_rows(measured_csv()) if measured_csv().exists() else []
    others = [row for row in usable(public) if row.row_id not in ids]
    return usable([*rows, *resolve(others, c, fits)])


def _predicted(rows: Sequence[Row], document: dict[str, object]) -> tuple[Floats, Floats]:
    memory = MemoryCoefficients.from_json(document, BEHAVIOURS)
    peak = peak_memory(*inputs_of([row.values for row in rows]), memory)
    return peak.p50_bytes / GIB, peak.p95_bytes / GIB
