"""Waiting jobs in a policy's order, by what they need.

Jobs with equal needs stand in one line. While a round only takes capacity, a need that does not fit
once does not fit for the rest of it, so a round looks at each line's first jobs and at no others,
however long the queue is.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Protocol

from irongrid.domain.decision import WaitCode
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobSpec, Resources

Key = tuple[float, JobId]
Line = list[Key]


class Waiting(Protocol):
    """What a policy sees of a job in the queue."""

    @property
    def id(self) -> JobId:
        """Its name, which sorts in the order of submission."""

    @property
    def spec(self) -> JobSpec:
        """What was asked for."""

    @property
    def submitted_at_ns(self) -> int:
        """When it was accepted."""

    @property
    def not_before_ns(self) -> int:
        """End of its back-off after a failure; 0 is none."""

    @property
    def wait_code(self) -> WaitCode:
        """The reason to wait that the log holds."""

    def worked_ns(self, at_ns: int) -> int:
        """For how long its ranks have worked, over all attempts so far."""


class Order:
    """All waiting jobs. A job's key may change only while it does not wait."""

    def __init__(self, rank: Callable[[Waiting], float]) -> None:
        """
        Args:
            rank: the smaller, the earlier; ties go to the older job.
        """
        self._rank = rank
        self._keys: dict[JobId, tuple[Key, Resources]] = {}
        self.lines: dict[Resources, Line] = {}

    def add(self, job: Waiting) -> None:
        """A job has begun to wait."""
        key, need = (self._rank(job), job.id), job.spec.resources
        self._keys[job.id] = key, need
        line = self.lines.get(need)
        if line is None:
            self.lines[need] = [key]
        else:
            insort(line, key)

    def remove(self, job: JobId) -> None:
        """A job waits no more."""
        key, need = self._keys.pop(job)
        line = self.lines[need]
        del line[bisect_left(line, key)]
        if not line:
            del self.lines[need]

    def walk(self) -> "Walk":
        """A look along the order, from its head."""
        return Walk(self.lines)


class Walk(Iterator[tuple[Key, Resources]]):
    """The jobs in order; whoever walks can leave a whole line out from now on."""

    def __init__(self, lines: dict[Resources, Line]) -> None:
        self._lines = list(lines.items())
        self._heads = [(line[0], at, 0) for at, (_, line) in enumerate(self._lines)]
        heapify(self._heads)
        self._last: tuple[int, int] | None = None

    def __next__(self) -> tuple[Key, Resources]:
        self._advance()
        if not self._heads:
            raise StopIteration
        key, at, index = heappop(self._heads)
        self._last = at, index
        return key, self._lines[at][0]

    def leave_line(self) -> None:
        """The jobs behind the last one need the same: none of them is of interest."""
        self._last = None

    def _advance(self) -> None:
        if self._last is None:
            return
        at, index = self._last
        line = self._lines[at][1]
        if index + 1 < len(line):
            heappush(self._heads, (line[index + 1], at, index + 1))
        self._last = None
