"""Virtual time: what is to happen, in order."""

from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Agenda(Generic[T]):
    """Entries by time; at equal times by rank, then in the order in which they were put in."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, T]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, at_ns: int, rank: int, entry: T) -> None:
        """Plan an entry."""
        self._count += 1
        heappush(self._heap, (at_ns, rank, self._count, entry))

    def next_ns(self) -> int | None:
        """The time of the first entry."""
        return self._heap[0][0] if self._heap else None

    def pop(self) -> T:
        """Take the first entry out."""
        return heappop(self._heap)[3]
