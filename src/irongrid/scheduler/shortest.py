"""Shortest first for who knows how long jobs take: sjf by time, gjf by GPU time.

Bounds for comparisons, as nobody knows. For the same with forecasts see `qssf`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from irongrid.domain.decision import Action
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster
from irongrid.scheduler.in_order import start_in_order
from irongrid.scheduler.order import Waiting


@dataclass(frozen=True, slots=True)
class Shortest:
    """The job that needs least goes first, without preemption.

    Attributes:
        service_s: what a job will need.
        times_gpus: count GPU time, not time.
    """

    name: str
    service_s: Callable[[Waiting], float]
    times_gpus: bool
    backfill: bool
    every_ns: ClassVar[int | None] = None

    def rank(self, job: Waiting) -> float:
        """Its (GPU) time."""
        service_s = self.service_s(job)
        return service_s * job.spec.resources.sizes[0] if self.times_gpus else service_s

    def kind(self, job: Waiting) -> str:
        """All jobs of one need stand in one line."""
        return ""

    def line_rank(self, kind: str, need: Resources) -> float:
        """Lines have nothing in common."""
        return 0.0

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of one round."""
        return start_in_order(cluster, backfill=self.backfill)

    def held(self) -> None:
        """It stops nobody."""
