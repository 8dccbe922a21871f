"""The default policy for rigid jobs that nobody described: what is likely to end soon goes first.

A job's rank is its Gittins index, worked out by a forecast from past jobs of its group and size and
from the service that it has had: the work per chance to end. What has run for long will probably
run on, so it makes way. A running job makes way only for one with a clearly smaller index, and
indexes move only at the ends of levels of service that double, so nobody is stopped again and
again.

Gangs have fewer places to go, so an index counts a little less the larger the gang. What asks for
a large share of the fleet is not stopped at all, as it would be long until so much is free at once;
so it counts by the GPU time for which it will keep others out. Waiting lowers a rank steadily, so
nobody waits for ever.

Source of the index: see `forecast.residual`. Tiresias (Gu et al., NSDI 2019) has one as well, over
GPU time and a history that is the same for all jobs.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

from irongrid.domain.decision import Action
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster, Running
from irongrid.scheduler.held import Held
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.preempting import start_or_preempt
from irongrid.units import NS_PER_S

# Exponent of the ranks of a gang in its rank, and of one that nobody stops.
_GANG = -0.15
_LARGE_GANG = 1.0
# A job makes way for one whose rank is below this share of its own.
_KEEP = 0.7
# Seconds of index that a second of waiting is worth.
_AGE = 0.1
# Share of the fleet from which on a gang is not stopped.
_LARGE = 0.05


@dataclass(slots=True)
class Gittins:
    """Least work per chance to end first, with preemption.

    Attributes:
        index_s: of a job of a group and a number of ranks at a level of attained service.
        levels_s: the service at which each level begins, ascending from 0.
        large: ranks from which on a gang is not stopped; each round sets it from its fleet.
    """

    index_s: Callable[[str, int, int], float]
    levels_s: Sequence[float]
    large: float = inf
    name: str = "default"
    every_ns: ClassVar[int | None] = None

    def rank(self, job: Waiting) -> float:
        """Its wait so far, as far as it differs within a line; what all share is in `decide`."""
        return _AGE * (job.submitted_at_ns + job.worked_ns(0)) / NS_PER_S

    def kind(self, job: Waiting) -> str:
        """Level of service and group: such jobs have one index."""
        return f"{self._level(job.worked_ns(0))} {job.spec.name}"

    def line_rank(self, kind: str, need: Resources) -> float:
        """The index, less for a large gang."""
        level, _, group = kind.partition(" ")
        return self._weighed_s(group, need.sizes[0], int(level))

    def held(self) -> Held:
        """By index, with what a job waited before it began; it moves at the end of a level."""
        return Held(self._stop_rank, self._next_level_ns)

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of one round."""
        waited_s = _AGE * cluster.now_ns / NS_PER_S
        # What needs one device alone finds a place again on any fleet.
        self.large = max(_LARGE * cluster.rooms.total, 2.0)
        return start_or_preempt(cluster, cluster.held, lambda rank: rank - waited_s, self.large)

    def _stop_rank(self, run: Running, now_ns: int) -> float:
        worked_ns = run.worked_ns(now_ns)
        # It does not wait while it runs, so this stands still.
        waited_s = (now_ns - run.submitted_at_ns - worked_ns) / NS_PER_S
        index_s = self._weighed_s(run.spec.name, run.placement.world_size, self._level(worked_ns))
        return _KEEP * index_s - _AGE * waited_s

    def _next_level_ns(self, run: Running, now_ns: int) -> int | None:
        worked_ns = run.worked_ns(now_ns)
        level = self._level(worked_ns) + 1
        if level == len(self.levels_s):
            return None
        return now_ns + round(self.levels_s[level] * NS_PER_S) - worked_ns

    def _level(self, worked_ns: int) -> int:
        return bisect_right(self.levels_s, worked_ns / NS_PER_S) - 1

    def _weighed_s(self, group: str, ranks: int, level: int) -> float:
        exponent = _LARGE_GANG if ranks >= self.large else _GANG
        weighed_s: float = self.index_s(group, ranks, level) * ranks**exponent
        return weighed_s
