"""Shortest first, by whatever is known of durations: qssf, sjf and gjf.

qssf is "Quasi-Shortest-Service-First" (Hu et al., "Characterization and prediction of deep learning
workloads in large-scale GPU datacenters", SC 2021): the smallest predicted GPU time first, without
preemption. It differs from the paper in the predictor, which is a running median over finished jobs
of the same group and size where theirs is a gradient-boosted tree over user, name and time; in that
each job is predicted once, when it begins to wait; and in that backfill can be switched on. sjf
(by duration) and gjf (by GPU time) are the same with perfect knowledge: bounds, for twins only.
"""

from collections.abc import Callable
from dataclasses import dataclass

from irongrid.domain.decision import Action
from irongrid.scheduler.cluster import Cluster
from irongrid.scheduler.in_order import start_in_order
from irongrid.scheduler.order import Waiting


@dataclass(frozen=True, slots=True)
class Shortest:
    """The job that is thought to need least goes first.

    Attributes:
        service_s: what a job is thought to need.
        times_gpus: count GPU time, not time.
    """

    name: str
    service_s: Callable[[Waiting], float]
    times_gpus: bool
    backfill: bool

    def rank(self, job: Waiting) -> float:
        """Its (GPU) time."""
        service_s = self.service_s(job)
        return service_s * job.spec.resources.sizes[0] if self.times_gpus else service_s

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of one round."""
        return start_in_order(cluster, backfill=self.backfill)

    def held(self) -> None:
        """It stops nobody."""
