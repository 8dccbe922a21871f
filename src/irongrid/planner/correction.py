"""How far measured rows can pull a candidate's time down, for bounds that stay bounds.

The correction of step time is a sum over measured rows: what each adds at its own place, times the
likeness of the case to it. Where a case is known only to lie in a box of features, a row that pulls
down counts with the likeness of the box' nearest corner, one that pushes up with the farthest.
"""

import numpy as np

from irongrid.cost.residual import Residual
from irongrid.planner.pricing import Floats

# Rows that are less like the whole table than this are left out; together they weigh nothing.
_NEAR = 1e-9
# Entries of a matrix of cases by measured rows that are worked on at once.
_ENTRIES = 4_000_000


class Correction:
    """Bounds on the correction of one question's candidates."""

    def __init__(self, residual: Residual) -> None:
        self._points, self._pull = residual.points, residual.pull

    @property
    def is_nothing(self) -> bool:
        """Whether nothing was learnt, so that no candidate is corrected."""
        return not self._pull.size

    def reach(self, low: Floats, high: Floats) -> tuple[float, float]:
        """The least and the greatest correction of any case within these features."""
        if self.is_nothing:
            return 0.0, 0.0
        alike = np.exp(-0.5 * np.sum(_beyond(self._points, low, high) ** 2, axis=1))
        down, up = np.minimum(self._pull, 0.0), np.maximum(self._pull, 0.0)
        return float(alike @ down), float(alike @ up)

    def near(self, low: Floats, high: Floats) -> "Correction":
        """Only the rows that matter to cases within these features."""
        if self.is_nothing:
            return self
        alike = np.exp(-0.5 * np.sum(_beyond(self._points, low, high) ** 2, axis=1)) > _NEAR
        return Correction(Residual(points=self._points[alike], pull=self._pull[alike]))

    def least(self, low: Floats, high: Floats) -> Floats:
        """The least correction of each case, whose features lie between its row of each."""
        size = len(low)
        found = np.zeros(size)
        if self.is_nothing:
            return found
        boxed = np.flatnonzero((low != high).any(axis=0))
        sharp = np.setdiff1d(np.arange(low.shape[1]), boxed)
        step = max(_ENTRIES // len(self._pull), 1)
        for start in range(0, size, step):
            part = slice(start, start + step)
            found[part] = self._least_of(low[part], high[part], sharp, boxed)
        return found

    def _least_of(self, low: Floats, high: Floats, sharp: np.ndarray, boxed: np.ndarray) -> Floats:
        points = self._points
        one, other = low[:, sharp], points[:, sharp]
        squares = np.sum(one**2, axis=1)[:, None] + np.sum(other**2, axis=1)[None, :]
        near = np.maximum(squares - 2.0 * one @ other.T, 0.0)
        far = near.copy()
        for column in boxed:
            below = low[:, column, None] - points[None, :, column]
            above = points[None, :, column] - high[:, column, None]
            near += np.square(np.maximum(below, 0.0) + np.maximum(above, 0.0))
            far += np.square(np.maximum(np.abs(below), np.abs(above)))
        down = np.exp(-0.5 * near) @ np.minimum(self._pull, 0.0)
        return np.asarray(down + np.exp(-0.5 * far) @ np.maximum(self._pull, 0.0))


def _beyond(points: Floats, low: Floats, high: Floats) -> Floats:
    return np.asarray(np.maximum(points - high, 0.0) + np.maximum(low - points, 0.0))
