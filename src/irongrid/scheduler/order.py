"""Waiting jobs in a policy's order, by what they need.

Jobs of one kind with equal needs stand in one line. While a round only takes capacity, a need that
does not fit once does not fit for the rest of it, so a round looks at each line's first jobs and at
no others, however long the queue is. What is thought of a kind may change from round to round, and
whole lines move then.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Protocol

from irongrid.domain.decision import WaitCode
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobSpec, Resources

Key = tuple[float, JobId]
Line = list[Key]
LineName = tuple[Resources, str]


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
    def epoch(self) -> int:
        """How often it was launched."""

    @property
    def not_before_ns(self) -> int:
        """End of its back-off after a failure; 0 is none."""

    @property
    def wait_code(self) -> WaitCode:
        """The reason to wait that the log holds."""

    def worked_ns(self, at_ns: int) -> int:
        """For how long its ranks have worked, over all attempts so far."""


class Ranking(Protocol):
    """How a policy orders the queue: by the sum of a job's rank and that of its line."""

    def rank(self, job: Waiting) -> float:
        """The smaller, the earlier; ties go to the older job. Constant while the job waits."""

    def kind(self, job: Waiting) -> str:
        """Jobs of one kind and need stand in one line."""

    def line_rank(self, kind: str, need: Resources) -> float:
        """What a whole line has in common; it may change from round to round."""


class Order:
    """All waiting jobs."""

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self._keys: dict[JobId, tuple[Key, LineName]] = {}
        self.lines: dict[LineName, Line] = {}

    def add(self, job: Waiting) -> None:
        """A job has begun to wait."""
        key = self._ranking.rank(job), job.id
        name = job.spec.resources, self._ranking.kind(job)
        self._keys[job.id] = key, name
        line = self.lines.get(name)
        if line is None:
            self.lines[name] = [key]
        else:
            insort(line, key)

    def remove(self, job: JobId) -> None:
        """A job waits no more."""
        key, name = self._keys.pop(job)
        line = self.lines[name]
        del line[bisect_left(line, key)]
        if not line:
            del self.lines[name]

    def walk(self) -> "Walk":
        """A look along the order, from its head."""
        line_rank = self._ranking.line_rank
        return Walk(
            [(line_rank(kind, need), need, line) for (need, kind), line in self.lines.items()]
        )


class Walk(Iterator[tuple[Key, Resources]]):
    """The jobs in order; whoever walks can leave a whole line out from now on."""

    def __init__(self, lines: list[tuple[float, Resources, Line]]) -> None:
        self._lines = lines
        self._heads = [
            (rank + line[0][0], line[0][1], at, 0) for at, (rank, _, line) in enumerate(lines)
        ]
        heapify(self._heads)
        self._last: tuple[int, int] | None = None

    def __next__(self) -> tuple[Key, Resources]:
        self._advance()
        if not self._heads:
            raise StopIteration
        rank, job, at, index = heappop(self._heads)
        self._last = at, index
        return (rank, job), self._lines[at][1]

    def leave_line(self) -> None:
        """The jobs behind the last one need the same: none of them is of interest."""
        self._last = None

    def _advance(self) -> None:
        if self._last is None:
            return
        at, index = self._last
        line_rank, _, line = self._lines[at]
        if index + 1 < len(line):
            rank, job = line[index + 1]
            heappush(self._heads, (line_rank + rank, job, at, index + 1))
        self._last = None
