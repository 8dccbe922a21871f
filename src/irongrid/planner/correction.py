"""What measured rows have taught about step time, for one question and quickly.

The correction of step time is a sum over all measured rows: what each adds at its own place, times
the likeness of the case to it. Of one question's candidates many features are the same (the
model's width, the device, the software), so most rows cannot matter to any of them. Those are left
out, up to a twentieth of a percent of step time in all; figures of chosen plans use every row.
"""

import numpy as np

from irongrid.cost.residual import Residual
from irongrid.cost.residual import likeness as likeness_of
from irongrid.planner.table import Floats

# What all rows that are left out could add together, in log time.
_LEFT_OUT = 5e-4
# Entries of a matrix of cases by measured rows that are worked on at once: they stay in cache.
_ENTRIES = 200_000


class Correction:
    """The correction of one question's candidates."""

    def __init__(self, residual: Residual, one: Floats, other: Floats) -> None:
        """
        Args:
            one, other: features of two candidates that differ in everything that a plan can change.
        """
        self._points, self._pull = residual.points, residual.pull
        if not self._pull.size:
            return
        same = one == other
        apart = np.sum((self._points[:, same] - one[same]) ** 2, axis=1)
        weight = np.abs(self._pull) * np.exp(-0.5 * apart)
        order = np.argsort(weight)
        kept = np.sort(order[np.cumsum(weight[order]) > _LEFT_OUT])
        self._pull = self._pull[kept] * np.exp(-0.5 * apart[kept])
        self._varied = np.flatnonzero(~same)
        self._points = self._points[np.ix_(kept, self._varied)]

    @property
    def is_nothing(self) -> bool:
        """Whether no measured row matters."""
        return not self._pull.size

    def at(self, features: Floats) -> Floats:
        """Each case's correction, in log time."""
        found = np.zeros(len(features))
        if self.is_nothing:
            return found
        varied = features[:, self._varied]
        step = max(_ENTRIES // len(self._pull), 1)
        for start in range(0, len(features), step):
            part = slice(start, start + step)
            found[part] = likeness_of(varied[part], self._points) @ self._pull
        return found
