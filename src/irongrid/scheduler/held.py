"""Running jobs in the order in which a policy would stop them.

Ranks are such that they stand still while a job runs (an end time, say, where a remaining time
would change every second), or change at a moment that is known beforehand; so an event costs
O(log n).
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from heapq import heappop, heappush

from irongrid.domain.ids import JobId
from irongrid.scheduler.cluster import Running


class Held:
    """All jobs whose ranks work, by rank; the last one is the first to be stopped."""

    def __init__(
        self,
        rank: Callable[[Running, int], float],
        changes_ns: Callable[[Running, int], int | None],
    ) -> None:
        """
        Args:
            rank: of a job at a time (ns).
            changes_ns: when that rank ends to hold, seen from a time; None is never.
        """
        self._rank = rank
        self._changes_ns = changes_ns
        self._known: dict[JobId, tuple[float, Running]] = {}
        self._changes: list[tuple[int, JobId]] = []
        self.ranked: list[tuple[float, JobId]] = []

    def add(self, run: Running, now_ns: int) -> None:
        """A job's ranks have begun to work."""
        rank = self._rank(run, now_ns)
        self._known[run.id] = rank, run
        insort(self.ranked, (rank, run.id))
        at_ns = self._changes_ns(run, now_ns)
        if at_ns is not None:
            heappush(self._changes, (at_ns, run.id))

    def remove(self, job: JobId) -> None:
        """A job's ranks work no more."""
        known = self._known.pop(job, None)
        if known is not None:
            del self.ranked[bisect_left(self.ranked, (known[0], job))]

    def run_of(self, job: JobId) -> Running:
        """A job of the index."""
        return self._known[job][1]

    def advance(self, now_ns: int) -> None:
        """Bring ranks up to a time; the answer is the same however often it is asked."""
        while self._changes and self._changes[0][0] <= now_ns:
            _, job = heappop(self._changes)
            known = self._known.get(job)
            if known is not None:
                self.remove(job)
                self.add(known[1], now_ns)

    def next_change_ns(self) -> int | None:
        """When the next rank changes; None if none will."""
        while self._changes and self._changes[0][1] not in self._known:
            heappop(self._changes)
        return self._changes[0][0] if self._changes else None
