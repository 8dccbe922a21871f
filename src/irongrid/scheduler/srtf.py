"""Shortest remaining time first, with preemption: what perfect knowledge of durations is worth.

A bound for comparisons, as nobody knows durations. Source of the rule: Schrage, "A proof of the
optimality of the shortest remaining processing time discipline", Operations Research 16(3), 1968;
for gangs on many devices it is a heuristic. It differs from the plain rule in that a job makes way
only for one that would be done first even after the victim's own restart is paid for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from irongrid.domain.decision import Action
from irongrid.domain.ids import JobId
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster, Running
from irongrid.scheduler.held import Held
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.preempting import start_or_preempt
from irongrid.units import NS_PER_S


@dataclass(frozen=True, slots=True)
class Srtf:
    """The job that needs least from now on goes first.

    Attributes:
        left_s: the true remaining time of a job at a time (ns).
        restart_s: what a restart costs a gang of that size.
    """

    left_s: Callable[[JobId, int], float]
    restart_s: Callable[[int], float]
    name: str = "srtf"
    every_ns: ClassVar[int | None] = None

    def rank(self, job: Waiting) -> float:
        """What is left; it does not change while the job waits."""
        return self.left_s(job.id, 0)

    def kind(self, job: Waiting) -> str:
        """All jobs of one need stand in one line."""
        return ""

    def line_rank(self, kind: str, need: Resources) -> float:
        """Lines have nothing in common."""
        return 0.0

    def held(self) -> Held:
        """By the second at which each would be done, less the price of its restart."""
        return Held(self._end_s, lambda run, now_ns: None)

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of one round."""
        now_s = cluster.now_ns / NS_PER_S
        return start_or_preempt(cluster, cluster.held, lambda left_s: now_s + left_s)

    def _end_s(self, run: Running, now_ns: int) -> float:
        left_s = self.left_s(run.id, now_ns)
        return now_ns / NS_PER_S + left_s - self.restart_s(run.placement.world_size)
