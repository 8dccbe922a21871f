"""How long a job will run: the running median of finished jobs that are most like it.

On Philly this has a median relative error of 0.38 with the key (group, ranks), 0.61 with ranks
alone, 0.66 with none (our own measurement, `knowledge/traces.md`, section 3): good enough to rank
jobs, not to promise an end. It learns from finished jobs only, so it never knows the future.
"""

from bisect import insort


class Durations:
    """Durations of finished jobs by (group, ranks), by ranks, and of all."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int] | int | None, list[float]] = {}

    def learn(self, group: str, ranks: int, duration_s: float) -> None:
        """A job has finished."""
        for key in ((group, ranks), ranks, None):
            insort(self._known.setdefault(key, []), duration_s)

    def predicted_s(self, group: str, ranks: int) -> float | None:
        """The median over the finest key that has been seen; None before any job has finished."""
        for key in ((group, ranks), ranks, None):
            found = self._known.get(key)
            if found:
                return _median(found)
        return None


def _median(ascending: list[float]) -> float:
    middle = len(ascending) // 2
    if len(ascending) % 2:
        return ascending[middle]
    return (ascending[middle - 1] + ascending[middle]) / 2
