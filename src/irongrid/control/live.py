"""The state as a policy reads it: its own indexes, without a copy."""

from collections.abc import Iterator, Mapping

from irongrid.control.state import Job, Phase, State
from irongrid.domain.decision import Outcome, Stop
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
        attempt = self._state.jobs[job].attempt
        assert attempt is not None, f"{job} does not run"
        return Stop(
            job=job,
            epoch=attempt.epoch,
            outcome=Outcome.REQUEUE,
            grace_s=SAVE_GRACE_S if attempt.phase is Phase.RUNNING else 0.0,
            reason=reason,
        )
