"""The policies that a twin can be asked for, by name, and what each of them is told."""

from collections.abc import Callable

from irongrid.control.state import Job, State
from irongrid.domain.event import RanksFinished, Recorded
from irongrid.domain.job import JobState
from irongrid.errors import Problem, SpecError
from irongrid.forecast.durations import Durations
from irongrid.forecast.residual import LEVELS_S, Residual
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.fifo import Fifo
from irongrid.scheduler.gittins import Gittins
from irongrid.scheduler.las import LONG_FIRST_QUEUE_GPU_S, Las
from irongrid.scheduler.order import Waiting
from irongrid.scheduler.qssf import Qssf
from irongrid.scheduler.shortest import Shortest
from irongrid.scheduler.srtf import Srtf
from irongrid.twin.elastic import POLICIES as ELASTIC
from irongrid.twin.truth.futures import RigidFutures
from irongrid.twin.truth.world import Futures
from irongrid.units import NS_PER_S


class Learner:
    """Feeds forecasts with what the log says of finished jobs, and answers policies from them."""

    def __init__(self) -> None:
        self.durations = Durations()
        self.residual = Residual()
        self.state: State | None = None

    def learn(self, group: str, ranks: int, duration_s: float) -> None:
        """A job has finished."""
        self.durations.learn(group, ranks, duration_s)
        self.residual.learn(group, ranks, duration_s)

    def __call__(self, recorded: Recorded) -> None:
        """Learn from a fact, if it ended a job."""
        event = recorded.event
        if type(event) is not RanksFinished or self.state is None:
            return
        job: Job = self.state.jobs[event.job]
        if job.state is JobState.SUCCEEDED:
            worked_s = job.account.worked_ns(recorded.at_ns) / NS_PER_S
            self.learn(job.spec.name, job.spec.resources.sizes[0], worked_s)

    def predicted_s(self, group: str, ranks: int) -> float:
        """What such jobs are thought to need; before anything is known, all are alike."""
        found = self.durations.predicted_s(group, ranks)
        return found if found is not None else 0.0


class Knowledge:
    """What policies may be built from: forecasts for all, truth for bounds only."""

    def __init__(self, futures: Futures, learner: Learner) -> None:
        self._futures = futures
        self._learner = learner

    def policy(self, name: str) -> Policy | None:
        """The policy; None is the built-in first-come.

        Raises:
            SpecError: there is none of this name.
        """
        make = self._makers().get(name)
        if make is None:
            fix = f"Use one of {', '.join(dict.fromkeys((*ELASTIC, *self._makers())))}"
            problem = Problem(field="--policy", problem=f"there is no policy {name!r}", fix=fix)
            raise SpecError([problem])
        return make()

    @property
    def names(self) -> tuple[str, ...]:
        """Every policy that there is."""
        return tuple(self._makers())

    def _oracle(self, name: str, *, times_gpus: bool) -> Policy:
        futures = self._rigid()

        def service_s(job: Waiting) -> float:
            return futures.left_s(job.id, 0)

        return Shortest(name, service_s, times_gpus=times_gpus, backfill=False)

    def _rigid(self) -> RigidFutures:
        """The futures of jobs whose duration does not depend on where they run.

        Raises:
            SpecError: they do here.
        """
        if not isinstance(self._futures, RigidFutures):
            problem = "the durations of this set depend on placements, so no oracle knows them"
            fix = "Use a policy without -oracle"
            raise SpecError([Problem(field="--policy", problem=problem, fix=fix)])
        return self._futures

    def _makers(self) -> dict[str, Callable[[], Policy | None]]:
        predicted = self._learner.predicted_s
        return {
            "first-come": lambda: None,
            "fifo": lambda: Fifo(),
            "fifo-backfill": lambda: Fifo(backfill=True),
            "qssf": lambda: Qssf(predicted, backfill=True),
            "qssf-strict": lambda: Qssf(predicted, backfill=False),
            "las": lambda: Las(),
            "las-16h": lambda: Las(LONG_FIRST_QUEUE_GPU_S, "las-16h"),
            "default": lambda: Gittins(self._learner.residual.index_s, LEVELS_S),
            "sjf-oracle": lambda: self._oracle("sjf-oracle", times_gpus=False),
            "gjf-oracle": lambda: self._oracle("gjf-oracle", times_gpus=True),
            "srtf-oracle": lambda: Srtf(self._rigid().left_s, self._rigid().restart_s),
        }
