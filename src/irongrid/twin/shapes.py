"""What charts of a run are drawn from: plain numbers, as many as can be seen."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from irongrid.twin.recorder import Seen

_CELLS_ACROSS = 240
_POINTS = 240
# Shorter lengths of time share the left end of a chart by powers of ten.
SHORTEST_S = 1.0
Array = NDArray[np.float64]


def held(seen: Seen) -> list[float]:
    """Devices in use, by bin."""
    return [float(value) for value in seen.held.sum(axis=0)]


def waiting(seen: Seen) -> list[float]:
    """Devices that waiting jobs asked for, by bin."""
    return [float(value) for value in seen.waiting]


def shades(seen: Seen, levels: int) -> list[list[tuple[float, float, int]]]:
    """By row of nodes: from when to when (in seconds) how much was held, 1 to `levels`.

    Stretches in which nothing was held are left out.
    """
    shares, bin_s = _coarser(seen)
    steps = np.ceil(np.clip(shares, 0, 1) * levels - 1e-9).astype(int)
    out = []
    for line in steps:
        edges = [0, *(int(at) + 1 for at in np.flatnonzero(np.diff(line))), len(line)]
        out.append(
            [
                (first * bin_s, min(last * bin_s, seen.end_s), int(line[first]))
                for first, last in pairwise(edges)
                if line[first]
            ]
        )
    return out


def _coarser(seen: Seen) -> tuple[Array, float]:
    """Share held by row, in at most `_CELLS_ACROSS` bins, and how wide these are."""
    devices = np.array(seen.node_devices, dtype=float)
    rows = np.arange(0, len(devices), seen.nodes_per_row)
    shares = seen.held / np.add.reduceat(devices, rows)[:, None]
    fold = -(-shares.shape[1] // _CELLS_ACROSS)
    if fold == 1:
        return np.asarray(shares), seen.bin_s
    count = -(-shares.shape[1] // fold)
    padded = np.zeros((shares.shape[0], count * fold))
    padded[:, : shares.shape[1]] = shares
    return padded.reshape(len(shares), count, fold).mean(axis=2), seen.bin_s * fold


def distribution(values: Array) -> list[tuple[float, float]]:
    """Share of values that are no larger, as steps, thinned to so many that can be seen."""
    ordered = np.sort(values)
    count = len(ordered)
    points: list[tuple[float, float]] = []
    below = float(np.searchsorted(ordered, SHORTEST_S, side="right")) / count
    if below:
        points.append((SHORTEST_S, below))
    for at in np.unique(np.linspace(0, count - 1, min(count, _POINTS)).astype(int)):
        if ordered[at] > SHORTEST_S:
            if not points or points[-1][1] <= at / count:
                points.append((float(ordered[at]), float(at / count)))
            points.append((float(ordered[at]), float((at + 1) / count)))
    return points


def evenness(values: Sequence[float]) -> float:
    """Jain's index: 1 where all are equal, 1 over their number where one has everything.

    Source: Jain, Chiu and Hawe, DEC-TR-301, 1984.
    """
    found = np.array(values, dtype=float)
    return float(found.sum() ** 2 / (len(found) * (found**2).sum()))
