"""The state as a policy reads it: its own indexes, without a copy."""

from collections.abc import Iterator, Mapping, Sequence

from irongrid.control.state import Job, Phase, State
from irongrid.domain.decision import Move, Outcome, Stop
from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId
from irongrid.scheduler.held import Held
from irongrid.scheduler.order import Order
from irongrid.scheduler.rooms import Rooms

# Time for a last checkpoint when a running job is asked to stop.
SAVE_GRACE_S = 60.0


class LiveCluster:
    """One round's input for a policy. See `irongrid.scheduler.cluster.Cluster`."""

    __slots__ = ("_state", "fresh", "now_ns", "order", "rooms")

    def __init__(self, state: State, now_ns: int) -> None:
        assert state.order is not None, "a policy is in force"
        self._state = state
        self.now_ns = now_ns
        self.rooms: Rooms = state.rooms
        self.order: Order = state.order
        self.fresh: Mapping[JobId, None] = state.fresh

    def waiting(self, job: JobId) -> Job:
        """A job of the queue."""
        return self._state.jobs[job]

    def queued(self) -> Sequence[JobId]:
        """The queue in the order of submission."""
        return self._state.queue

    def active(self) -> Iterator[Job]:
        """Jobs that hold devices and whose end is not decided."""
        jobs, stopping = self._state.jobs, self._state.stopping
        return (jobs[job] for job in self._state.active if job not in stopping)

    @property
    def held(self) -> Held:
        """Running jobs in the order in which the policy would stop them."""
        assert self._state.held is not None, "the policy asked for the index"
        return self._state.held

    def stopping(self) -> Iterator[Job]:
        """Jobs whose end is decided."""
        jobs = self._state.jobs
        return (jobs[job] for job in self._state.stopping)

    def preempt(self, job: JobId, reason: str) -> Stop:
        """The action that lets a job save, stop, and wait again."""
        epoch, grace_s = self._running(job)
        return Stop(job=job, epoch=epoch, outcome=Outcome.REQUEUE, grace_s=grace_s, reason=reason)

    def move(self, job: JobId, placement: Placement, reason: str) -> Move:
        """The action that lets a job save, stop, and go on elsewhere."""
        epoch, grace_s = self._running(job)
        return Move(job=job, epoch=epoch, placement=placement, grace_s=grace_s, reason=reason)

    def _running(self, job: JobId) -> tuple[int, float]:
        """The epoch of a job that runs, and the time that it needs to save."""
        attempt = self._state.jobs[job].attempt
        assert attempt is not None, f"{job} does not run"
        return attempt.epoch, SAVE_GRACE_S if attempt.phase is Phase.RUNNING else 0.0
