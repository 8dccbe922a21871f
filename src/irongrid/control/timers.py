"""When jobs next need a look: a heap with one live entry per job."""

from heapq import heappop, heappush

from irongrid.domain.ids import JobId


class Timers:
    """At most one due time per job; O(log n) per change."""

    def __init__(self) -> None:
        self._due: dict[JobId, int] = {}
        self._heap: list[tuple[int, JobId]] = []

    def set(self, job: JobId, due_ns: int | None) -> None:
        """Set or clear a job's due time."""
        if self._due.get(job) == due_ns:
            return
        if due_ns is None:
            del self._due[job]
        else:
            self._due[job] = due_ns
            heappush(self._heap, (due_ns, job))
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)

    def next_ns(self) -> int | None:
        """The earliest due time."""
        return self._heap[0][0] if self._heap else None

    def due(self, now_ns: int) -> list[JobId]:
        """Jobs that are due, in order of time."""
        found: set[tuple[int, JobId]] = set()
        pending = [0]
        while pending:
            index = pending.pop()
            if index < len(self._heap) and self._heap[index][0] <= now_ns:
                entry = self._heap[index]
                if self._due.get(entry[1]) == entry[0]:
                    found.add(entry)
                pending += [2 * index + 1, 2 * index + 2]
        return [job for _, job in sorted(found)]
