"""The least predicted GPU time first, without preemption.

Source: "Quasi-Shortest-Service-First" of Hu et al., "Characterization and prediction of deep
learning workloads in large-scale GPU datacenters", SC 2021. It differs from the paper in the
predictor, which says one thing of all jobs of a group and size where theirs is a gradient-boosted
tree over user, name and time; in that a waiting job moves when the forecast for its like changes;
and in that backfill can be switched on.
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
class Qssf:
    """The kind of job that is thought to need least goes first.

    Attributes:
        predicted_s: what jobs of a group and a number of ranks are thought to need.
    """

    predicted_s: Callable[[str, int], float]
    backfill: bool
    every_ns: ClassVar[int | None] = None

    @property
    def name(self) -> str:
        """`qssf` or `qssf-strict`."""
        return "qssf" if self.backfill else "qssf-strict"

    def rank(self, job: Waiting) -> float:
        """Equal among jobs of a kind: ties go to the older one."""
        return 0.0

    def kind(self, job: Waiting) -> str:
        """The group whose past jobs tell of it."""
        return job.spec.name

    def line_rank(self, kind: str, need: Resources) -> float:
        """The predicted GPU time."""
        return need.sizes[0] * self.predicted_s(kind, need.sizes[0])

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of one round."""
        return start_in_order(cluster, backfill=self.backfill)

    def held(self) -> None:
        """It stops nobody."""
