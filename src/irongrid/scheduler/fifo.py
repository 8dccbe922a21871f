"""First in, first out: the baseline of every comparison.

Strict, it stops at the first job that does not fit. With backfill it starts later jobs around that
one, without a reservation. Both as in the Helios simulator (SC 2021); for what a server should run
see `first_come`, which protects the job at the head.
"""

from dataclasses import dataclass
from typing import ClassVar

from irongrid.domain.decision import Action
from irongrid.domain.job import Resources
from irongrid.scheduler.cluster import Cluster
from irongrid.scheduler.in_order import start_in_order
from irongrid.scheduler.order import Waiting


@dataclass(frozen=True, slots=True)
class Fifo:
    """In the order of submission."""

    backfill: bool = False
    every_ns: ClassVar[int | None] = None

    @property
    def name(self) -> str:
        """`fifo` or `fifo-backfill`."""
        return "fifo-backfill" if self.backfill else "fifo"

    def rank(self, job: Waiting) -> float:
        """All equal: ties go to the older job."""
        return 0.0

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
