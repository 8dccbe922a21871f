"""Measured step times of one application on one GPU type, and the lookup between them.

Data and rules: `data/sia/README.md` (measurements of the Sia artifact, SOSP 2023, and of Pollux,
OSDI 2021). A placement is the GPUs on each of its nodes; only its shape matters.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from irongrid.errors import Refused

Shape = tuple[int, ...]


def smallest_rotation(shape: Shape) -> Shape:
    """The name under which a shape was measured: nodes stand in a ring."""
    return min(shape[at:] + shape[:at] for at in range(len(shape)))


def packed(shape: Shape, most_nodes: int) -> Shape:
    """The shape, or the same GPUs spread evenly over as many nodes as were profiled."""
    if len(shape) <= most_nodes:
        return shape
    each, more = divmod(sum(shape), most_nodes)
    return (each + 1,) * more + (each,) * (most_nodes - more)


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one optimizer step without accumulation.

    Attributes:
        step_s: compute and gradient synchronisation.
        sync_s: the part of it that is synchronisation.
    """

    step_s: float
    sync_s: float

    def iteration_s(self, accum_steps: int) -> float:
        """One optimizer step with so many more passes, which do not synchronise."""
        return self.step_s + accum_steps * (self.step_s - self.sync_s)


@dataclass(frozen=True)
class Profile:
    """All measurements of one application on one GPU type.

    Attributes:
        placed: by shape: columns local_bsz (ascending), step_s, sync_s.
        spread: rows of nodes, replicas, local_bsz, step_s, sync_s, measured without an exact shape.
        most_nodes: nodes that were profiled.
    """

    placed: Mapping[Shape, np.ndarray]
    spread: np.ndarray
    most_nodes: int
    _known: dict[tuple[Shape, int], StepTime] = field(default_factory=dict, compare=False)
    _ranges: dict[Shape, tuple[int, int]] = field(default_factory=dict, compare=False)

    def step_time(self, shape: Shape, local_bsz: int) -> StepTime:
        """The measured, or else interpolated, step time.

        Raises:
            Refused: outside of what was measured.
        """
        key = (shape, local_bsz)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._look_up(shape, local_bsz)
        return found

    def largest_local_bsz(self, replicas: int) -> int:
        """The most samples per GPU that were measured with so many GPUs; else with any."""
        found = self._largest.get(replicas)
        return int(found if found is not None else max(self._largest.values()))

    def local_bsz_range(self, shape: Shape) -> tuple[int, int]:
        """The fewest and most samples per GPU for which `step_time` has an answer.

        Where the shape itself was not measured, the simplices that enclose its nodes and replicas
        decide; they hold at least between these bounds.
        """
        found = self._ranges.get(shape)
        if found is None:
            found = self._ranges[shape] = self._range(packed(shape, self.most_nodes))
        return found

    def _range(self, shape: Shape) -> tuple[int, int]:
        rows = self.placed.get(smallest_rotation(shape))
        if rows is not None:
            return int(np.ceil(rows[0, 0])), min(
                int(rows[-1, 0]), self.largest_local_bsz(sum(shape))
            )
        points = np.concatenate([_means(self.placed), self.spread])
        batches = np.unique(points[:, 2]).astype(int)
        where = [(len(shape), sum(shape), batch) for batch in batches]
        known = batches[np.isfinite(self._simplices(np.array(where, dtype=float))[:, 0])]
        return int(known[0]), min(int(known[-1]), self.largest_local_bsz(sum(shape)))

    @cached_property
    def _largest(self) -> dict[int, float]:
        largest: dict[int, float] = {}
        for shape, rows in self.placed.items():
            largest[sum(shape)] = max(largest.get(sum(shape), 0.0), float(rows[-1, 0]))
        for row in self.spread:
            largest[int(row[1])] = max(largest.get(int(row[1]), 0.0), float(row[2]))
        return largest

    def _look_up(self, shape: Shape, local_bsz: int) -> StepTime:
        shape = packed(shape, self.most_nodes)
        rows = self.placed.get(smallest_rotation(shape))
        if rows is not None and rows[0, 0] <= local_bsz <= rows[-1, 0]:
            step_s = np.interp(local_bsz, rows[:, 0], rows[:, 1])
            sync_s = np.interp(local_bsz, rows[:, 0], rows[:, 2])
        elif rows is None:
            step_s, sync_s = self._between(len(shape), sum(shape), local_bsz)
        else:
            step_s = sync_s = np.nan
        if not np.isfinite(step_s) or not np.isfinite(sync_s):
            problem = (
                f"{local_bsz} samples per GPU on {'-'.join(map(str, shape))} were not measured"
            )
            raise Refused("not_measured", problem, "Stay between the measured batch sizes")
        return StepTime(float(step_s), float(sync_s))

    def _between(self, nodes: int, replicas: int, local_bsz: int) -> tuple[float, float]:
        step_s, sync_s = self._simplices(np.array([[nodes, replicas, local_bsz]], dtype=float))[0]
        return step_s, sync_s

    @cached_property
    def _simplices(self) -> "Interpolator":
        # Loaded only where a shape was not measured: it takes long.
        from scipy.interpolate import LinearNDInterpolator

        points = np.concatenate([_means(self.placed), self.spread])
        found: Interpolator = LinearNDInterpolator(points[:, :3], points[:, 3:])
        return found


class Interpolator:
    """What scipy's interpolator offers, for the type checker."""

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values at points, one per row."""
        raise NotImplementedError


def _means(placed: Mapping[Shape, np.ndarray]) -> np.ndarray:
    """Rows of nodes, replicas, local_bsz and mean step and sync times over equal triples."""
    found: dict[tuple[float, float, float], list[np.ndarray]] = {}
    for shape, rows in placed.items():
        for row in rows:
            found.setdefault((len(shape), sum(shape), float(row[0])), []).append(row[1:])
    return np.array([[*triple, *np.mean(found[triple], axis=0)] for triple in sorted(found)])


def profile(
    placements: Iterable[tuple[Shape, float, float, float]],
    scalability: Iterable[tuple[float, float, float, float, float]],
    most_nodes: int,
) -> Profile:
    """A profile from rows as the files hold them."""
    by_shape: dict[Shape, list[tuple[float, float, float]]] = {}
    for shape, local_bsz, step_s, sync_s in placements:
        by_shape.setdefault(shape, []).append((local_bsz, step_s, sync_s))
    placed = {shape: np.array(sorted(rows)) for shape, rows in by_shape.items()}
    spread = np.array(list(scalability), dtype=float).reshape(-1, 5)
    return Profile(placed=placed, spread=spread, most_nodes=most_nodes)
