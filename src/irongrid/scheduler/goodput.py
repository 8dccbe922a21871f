"""The default policy."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from irongrid.domain.decision import Action
from irongrid.domain.ids import JobId
from irongrid.domain.job import Resources
from irongrid.scheduler.assign import assign
from irongrid.scheduler.cluster import Cluster, Running
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.outlook import Forecaster
from irongrid.scheduler.reshape import reshape
from irongrid.scheduler.sizes import Sizes
from irongrid.units import NS_PER_S


@dataclass(frozen=True, slots=True)
class Weights:
    horizon_s: float = 450.0
    keep: float = 1.05
    rank: float = 0.5
    age: float = 0.5
    exponent: float = 1.0
    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Goodput:
    forecaster: Forecaster
    sizes: Sizes
    weights: Weights = Weights()
    every_ns: int | None = 60 * NS_PER_S
    name: ClassVar[str] = "default"

    def rank(self, job: Waiting) -> float:
        return 0.0

    def kind(self, job: Waiting) -> str:
        return ""

    def line_rank(self, kind: str, need: Resources) -> float:
        return 0.0

    def held(self) -> None:
        """It looks at all running jobs itself."""

    def decide(self, cluster: Cluster) -> list[Action]:
        jobs: list[Running | Waiting] = list(cluster.active())
        active = len(jobs)
        jobs += [cluster.waiting(job) for job in cluster.queued()]
        if not jobs:
            return []
        sizes = self.sizes
        now_s = cluster.now_ns / NS_PER_S
        current_J = np.full(len(jobs), -1)
        pending_J = np.zeros(len(jobs))
        restart_J = np.zeros(len(jobs))
        most_J = np.zeros(len(jobs))
        left_JC = np.empty((len(jobs), len(sizes)))
        for at, job in enumerate(jobs):
            outlook = self.forecaster.outlook(job.id, cluster.now_ns)
            left_JC[at], restart_J[at] = outlook.left_s_C, outlook.restart_s
            most_J[at] = outlook.most_ranks
            if at < active:
                place = job.placement
                kind = cluster.rooms.nodes[place.shares[0].node].device_type
                current_J[at] = sizes.column(kind, place.world_size)
                if not job.works:
                    pending_J[at] = max(outlook.restart_s - (now_s - job.launched_at_ns / NS_PER_S), 0)
        age_J = np.array([now_s - job.submitted_at_ns / NS_PER_S for job in jobs])
        left_JC[sizes.devices_C > most_J[:, None]] = np.inf
        value_JC = self.value(left_JC, restart_J, current_J, pending_J, age_J)
        column_J = assign(value_JC, sizes)
        wanted = {
            job.id: (sizes.kinds[sizes.kind_C[c]], int(sizes.devices_C[c]))
            for job, c in zip(jobs, column_J, strict=True)
            if c >= 0
        }
        return reshape(cluster, wanted, {})

    def value(self, left_JC, restart_J, current_J, pending_J, age_J):
        w = self.weights
        rows = np.arange(len(left_JC))
        best_J = left_JC.min(axis=1)
        cost_JC = left_JC + restart_J[:, None] * np.maximum(1.0, left_JC / w.horizon_s)
        on = current_J >= 0
        now = left_JC[rows[on], current_J[on]]
        cost_JC[rows[on], current_J[on]] = now / w.keep + pending_J[on] * np.maximum(1.0, now / w.horizon_s)
        order = np.argsort(np.argsort(-best_J, kind="stable"), kind="stable") + 1
        weight_J = order**w.rank * (1 + age_J / 3600) ** w.age
        v = ((best_J + restart_J)[:, None] / cost_JC) ** w.exponent * weight_J[:, None]
        return v - w.floor * self.sizes.devices_C
