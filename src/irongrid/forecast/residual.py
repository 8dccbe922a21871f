"""How much work a job may still need, given what it has had: a Gittins index from past jobs.

Attained service is cut into levels of doubling length. Of each level we count who ended in it and
who went on, by (group, ranks), by ranks, and of all; a finer count is drawn towards the coarser one
until it has seen enough. Counts fade, as the next job of a group is most like the last ones. That
gives the chance to end in each level for who reaches it. The index
of a job is the least, over all times for which it could be served, of the time that this takes on
average per chance to end by then: small where many are about to end, large for those that have
outlived their kind.

Source: Gittins, "Bandit processes and dynamic allocation indices", J. Royal Statistical Society
B 41(2), 1979; for queues see Aalto, Ayesta and Righter, "On the Gittins index in the M/G/1 queue",
Queueing Systems 63, 2009. The index of a single server is a heuristic for gangs on many devices.
It learns from finished jobs only, so it never knows the future.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

# Seconds of attained service at which levels begin; the last one has no end.
LEVELS_S = (0.0, *(30.0 * 2.0**n for n in range(18)))
# Chance to end within a doubling where nobody has been seen. A tail of 1/duration has one half.
_UNSEEN = 0.4
# Jobs of the coarser key whose word counts beside that of the finer one.
_COARSER_JOBS = 2.0
# So many jobs of a key count: each new one takes that share of the weight of all before it.
_OF_BOTH_JOBS = 20.0
_OF_RANKS_JOBS = 200.0


@dataclass(slots=True)
class _Count:
    """Per level: who ended in it, and who went on.

    Attributes:
        table: the indexes that follow from it; None when they are to be worked out.
    """

    lasts_jobs: float
    ended: list[float] = field(default_factory=lambda: [0.0] * len(LEVELS_S))
    passed: list[float] = field(default_factory=lambda: [0.0] * len(LEVELS_S))
    table: list[float] | None = None

    def learn(self, level: int) -> None:
        keep = 1 - 1 / self.lasts_jobs
        self.ended = [keep * weight for weight in self.ended]
        self.passed = [keep * weight + (at < level) for at, weight in enumerate(self.passed)]
        self.ended[level] += 1
        self.table = None

    def hazard(self, coarser: list[float], weight_jobs: float) -> list[float]:
        """The chance to end in each level for who reaches it."""
        return [
            (ended + weight_jobs * prior) / (ended + passed + weight_jobs)
            for ended, passed, prior in zip(self.ended, self.passed, coarser, strict=True)
        ]


class Residual:
    """Gittins indexes of jobs by group, ranks and attained service."""

    def __init__(self) -> None:
        self._all = _Count(_OF_RANKS_JOBS)
        self._by_ranks: dict[int, _Count] = {}
        self._by_both: dict[tuple[str, int], _Count] = {}

    def learn(self, group: str, ranks: int, duration_s: float) -> None:
        """A job has finished."""
        level = level_of(duration_s)
        self._all.learn(level)
        self._of_ranks(ranks).learn(level)
        self._of_both(group, ranks).learn(level)

    def index_s(self, group: str, ranks: int, level: int) -> float:
        """Seconds of service per end, for a job at the beginning of a level; never 0."""
        count = self._of_both(group, ranks)
        if count.table is None:
            # Coarser keys change it little, so it waits for news of its own.
            everyone = self._all.hazard([_UNSEEN] * len(LEVELS_S), 1.0)
            of_size = self._of_ranks(ranks).hazard(everyone, _COARSER_JOBS)
            hazard = count.hazard(of_size, _COARSER_JOBS)
            count.table = [_index_s(hazard, level) for level in range(len(LEVELS_S))]
        return count.table[level]

    def _of_ranks(self, ranks: int) -> _Count:
        found = self._by_ranks.get(ranks)
        if found is None:
            found = self._by_ranks[ranks] = _Count(_OF_RANKS_JOBS)
        return found

    def _of_both(self, group: str, ranks: int) -> _Count:
        found = self._by_both.get((group, ranks))
        if found is None:
            found = self._by_both[group, ranks] = _Count(_OF_BOTH_JOBS)
        return found


def level_of(service_s: float) -> int:
    """The level that a job with so much service is in."""
    return bisect_right(LEVELS_S, service_s) - 1


def _index_s(hazard: list[float], level: int) -> float:
    """The least expected service per chance to end, over the levels at whose ends one may stop."""
    alive, spent_s, ended, least = 1.0, 0.0, 0.0, float("inf")
    for at in range(level, len(LEVELS_S)):
        begin_s = LEVELS_S[at]
        end_s = LEVELS_S[at + 1] if at + 1 < len(LEVELS_S) else 2 * begin_s
        # Who ends within a level does so halfway through it.
        spent_s += alive * (end_s - begin_s) * (1 - hazard[at] / 2)
        ended += alive * hazard[at]
        alive *= 1 - hazard[at]
        least = min(least, spent_s / ended)
    return least
