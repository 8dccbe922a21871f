"""What the policies for elastic jobs have in common: a round over all jobs at once.

Each round gathers what is thought of every job on every size, values it, gives devices to the most
value, and says which jobs start, move or make way. A policy is one way to value.
"""

from dataclasses import dataclass

import numpy as np

from irongrid.domain.decision import Action
from irongrid.domain.ids import JobId
from irongrid.domain.job import Resources
from irongrid.scheduler.assign import assign
from irongrid.scheduler.cluster import Active, Cluster
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.outlook import Forecaster
from irongrid.scheduler.reshape import reshape
from irongrid.scheduler.sizes import Sizes
from irongrid.units import NS_PER_S

NONE = -1


@dataclass(frozen=True, slots=True)
class Table:
    """All jobs (J) of a round on all sizes (C).

    Attributes:
        left_JC: seconds to the end; infinite where a job cannot or may not run.
        fair_done_J: seconds that the training so far would have taken on an equal share of the
            devices of a kind, in the mean over kinds.
        sure_J: share of what is left that is needed in any likely case.
        restart_J: seconds from a launch to the first step.
        current_J: the size that is held, or NONE.
        pending_J: seconds until a job that holds devices works.
        held_J: seconds since the launch of a job that holds devices.
        age_J: seconds since it was submitted.
        launches_J: how often it was launched.
    """

    jobs: tuple[JobId, ...]
    left_JC: np.ndarray
    fair_done_J: np.ndarray
    sure_J: np.ndarray
    restart_J: np.ndarray
    current_J: np.ndarray
    pending_J: np.ndarray
    held_J: np.ndarray
    age_J: np.ndarray
    launches_J: np.ndarray


class ElasticPolicy:
    """The round. Sub-classes say what a size is worth to a job.

    Attributes:
        first_ranks: the most for a job of which, and of whose like, nothing was measured.
        growth: of the largest size that was run, at most, from one size to the next.
    """

    name = "elastic"
    first_ranks = 4
    growth = 4

    def __init__(self, forecaster: Forecaster, sizes: Sizes, every_s: float = 60) -> None:
        self._forecaster = forecaster
        self.sizes = sizes
        self._admitted: dict[Resources, np.ndarray] = {}
        self.every_ns: int | None = round(every_s * NS_PER_S)

    def rank(self, job: Waiting) -> float:
        """All equal: the round looks at all jobs at once."""
        return 0.0

    def kind(self, job: Waiting) -> str:
        """All jobs of one need stand in one line."""
        return ""

    def line_rank(self, kind: str, need: Resources) -> float:
        """Lines have nothing in common."""
        return 0.0

    def held(self) -> None:
        """No index: the round looks at all jobs at once."""

    def value(self, table: Table) -> np.ndarray:
        """What each size is worth to each job; 0 or less is never taken."""
        raise NotImplementedError

    def decide(self, cluster: Cluster) -> list[Action]:
        """The actions of one round."""
        table = self.table(cluster)
        if table is None:
            return []
        column_J = assign(self.value(table), self.sizes, table.current_J)
        sizes = self.sizes
        wanted = {
            job: (sizes.kinds[sizes.kind_C[column]], int(sizes.devices_C[column]))
            for job, column in zip(table.jobs, column_J, strict=True)
            if column != NONE
        }
        return reshape(cluster, wanted, {})

    def table(self, cluster: Cluster) -> Table | None:
        """The round's input; None if there is no job."""
        running = list(cluster.active())
        jobs: list[Active | Waiting] = [
            *running,
            *(cluster.waiting(job) for job in cluster.queued()),
        ]
        if not jobs:
            return None
        outlooks = [self._forecaster.outlook(job.id, cluster.now_ns) for job in jobs]
        left_JC = np.array([outlook.left_s_C for outlook in outlooks])
        run_J = np.array([outlook.run_ranks for outlook in outlooks])
        most_J = np.maximum(self.first_ranks, self.growth * run_J)
        share_K = self._share(len(jobs))
        weight_K = np.array(self.sizes.capacity) / sum(self.sizes.capacity)
        done_JC = np.array([outlook.done_s_C for outlook in outlooks])
        fair_done_J = done_JC[:, share_K] @ weight_K
        left_JC[self.sizes.devices_C > most_J[:, None]] = np.inf
        for at, job in enumerate(jobs):
            left_JC[at, ~self._admissible(job.spec.resources)] = np.inf
        current_J, pending_J = np.full(len(jobs), NONE), np.zeros(len(jobs))
        held_J = np.zeros(len(jobs))
        for at, run in enumerate(running):
            place = run.placement
            kind = cluster.rooms.nodes[place.shares[0].node].device_type
            column = self.sizes.column(kind, place.world_size)
            current_J[at] = NONE if column is None else column
            held_J[at] = (cluster.now_ns - run.launched_at_ns) / NS_PER_S
            if not run.works:
                pending_J[at] = max(outlooks[at].restart_s - held_J[at], 0.0)
        return Table(
            jobs=tuple(job.id for job in jobs),
            left_JC=left_JC,
            fair_done_J=fair_done_J,
            sure_J=np.array([outlook.sure for outlook in outlooks]),
            restart_J=np.array([outlook.restart_s for outlook in outlooks]),
            current_J=current_J,
            pending_J=pending_J,
            held_J=held_J,
            age_J=np.array([(cluster.now_ns - job.submitted_at_ns) / NS_PER_S for job in jobs]),
            launches_J=np.array([job.epoch for job in jobs]),
        )

    def _admissible(self, need: Resources) -> np.ndarray:
        """Sizes that a job asked for."""
        found = self._admitted.get(need)
        if found is None:
            kinds = np.array([need.accelerator in ("any", kind) for kind in self.sizes.kinds])
            found = np.isin(self.sizes.devices_C, need.sizes) & kinds[self.sizes.kind_C]
            self._admitted[need] = found
        return found

    def _share(self, jobs: int) -> np.ndarray:
        """The size of each kind that is nearest to an equal share of all devices."""
        sizes = self.sizes
        share = sum(sizes.capacity) / jobs
        away_C = np.abs(sizes.devices_C - share)
        return np.array(
            [
                np.flatnonzero(sizes.kind_C == kind)[np.argmin(away_C[sizes.kind_C == kind])]
                for kind in range(len(sizes.kinds))
            ]
        )
