"""What measured rows have taught about step time, for one question and quickly.

The correction of step time is a sum over all measured rows: what each adds at its own place, times
the likeness of the case to it. Of one question's candidates many features are the same (the
model's width, the device, the software), so most rows cannot matter to any of them. Those are left
out, up to a twentieth of a percent of step time in all; figures of chosen plans use every row.
"""

from dataclasses import dataclass

import numpy as np

from irongrid.cost.residual import Residual
from irongrid.cost.residual import likeness as likeness_of
from irongrid.planner.table import Array, Floats

# What all rows that are left out could add together, in log time.
_LEFT_OUT = 5e-4
# Entries of a matrix of cases by measured rows that are worked on at once: they stay in cache.
_ENTRIES = 200_000
# Step times at which a floor is computed, in lengths of the residual: how far apart, and up to how
# far above the slowest case. What is slower still by e to the 3.5 is not the best of anything.
_APART, _BEYOND = 0.1, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Features of candidates that tell which of them a plan can change.

    Attributes:
        one, other: of two candidates that differ in everything that a plan can change.
        slower: as `one`, but for a step time that is e times as long.
    """

    one: Floats
    other: Floats
    slower: Floats


@dataclass(frozen=True, slots=True)
class Floor:
    """The least correction of groups of cases, from any step time upwards.

    Attributes:
        start: the first step time of the grid, as a feature.
        length: log time of one unit of that feature.
        slope: what each of its units adds to what is to be low.
        least: at each step time of the grid, one row per group.
        onwards: the least at that step time or any later one.
    """

    start: float
    length: float
    slope: float
    least: Floats
    onwards: Floats

    def at(self, group: Array, micro_batch_s: Floats) -> Floats:
        """The least correction, in log time, of a case of each group that takes so long or longer.

        Args:
            micro_batch_s: the step's time by the formulas over its micro-batches.
        """
        time = np.log(micro_batch_s) / self.length
        place = (time - self.start) / _APART
        left = np.clip(place.astype(np.int64), 0, self.least.shape[1] - 2)
        share = place - left
        here = (1 - share) * self.least[group, left] + share * self.least[group, left + 1]
        return np.asarray(np.minimum(here, self.onwards[group, left + 1]) - self.slope * time)


class Correction:
    """The correction of one question's candidates."""

    def __init__(self, residual: Residual, examples: Examples | None) -> None:
        self._points, self._pull = residual.points, residual.pull
        if examples is None:
            return
        one = examples.one
        same = one == examples.other
        apart = np.sum((self._points[:, same] - one[same]) ** 2, axis=1)
        weight = np.abs(self._pull) * np.exp(-0.5 * apart)
        order = np.argsort(weight)
        kept = np.sort(order[np.cumsum(weight[order]) > _LEFT_OUT])
        self._pull = self._pull[kept] * np.exp(-0.5 * apart[kept])
        self._varied = np.flatnonzero(~same)
        self._points = self._points[np.ix_(kept, self._varied)]
        stretch = (examples.slower - one)[self._varied]
        self._is_time = stretch != 0
        self._length = 1.0 / float(stretch[self._is_time][0])

    @property
    def is_nothing(self) -> bool:
        """Whether no measured row matters."""
        return not self._pull.size

    @property
    def least(self) -> float:
        """What no correction is below: all that lower it together, each at its own place."""
        return float(np.minimum(self._pull, 0.0).sum())

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

    def floor(
        self, variants: list[Floats], least_s: float, most_s: float, *, slower_is_worse: bool
    ) -> Floor:
        """A floor under groups of cases that take some unknown time, from `least_s` upwards.

        Between two step times of the grid a correction is at most this far below a straight line:
        the distance squared over 8, times its largest curvature, which is the sum of all pulls.

        Args:
            variants: features of each group, for each way in which its cases may differ beside
                time.
            least_s, most_s: the range of the times of a micro-batch by the formulas.
            slower_is_worse: whether the floor is to be under corrected time, so that a case that
                takes longer may be corrected by as much more; else under the correction.
        """
        low, high = (float(np.log(time)) / self._length for time in (least_s, most_s))
        grid = np.arange(low, high + _BEYOND + _APART, _APART)
        times = self._points[:, self._is_time]
        near = np.exp(-0.5 * (times - grid[None, :]) ** 2)
        points = self._points[:, ~self._is_time]
        least: Floats | None = None
        for features in variants:
            pulls = likeness_of(features[:, self._varied][:, ~self._is_time], points) * self._pull
            bend = _APART**2 / 8 * np.abs(pulls).sum(axis=1)
            found = pulls @ near - bend[:, None]
            least = found if least is None else np.minimum(least, found)
        assert least is not None, "a group has at least one variant"
        slope = self._length if slower_is_worse else 0.0
        least = least + slope * grid
        onwards = np.minimum.accumulate(least[:, ::-1], axis=1)[:, ::-1]
        return Floor(float(low), self._length, slope, least, onwards)
