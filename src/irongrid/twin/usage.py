"""What each job holds over time, and how much of that is restarts, where sizes change."""

from dataclasses import dataclass

from irongrid.control.account import Bucket
from irongrid.control.state import State
from irongrid.domain.device import Placement
from irongrid.domain.event import OF_NO_JOB, Decided, Recorded
from irongrid.domain.ids import JobId
from irongrid.units import NS_PER_S


@dataclass(slots=True)
class Used:
    """Device-seconds of one job; `restarts` are starts that cost time, but for the first."""

    held_s: float = 0.0
    starting_s: float = 0.0
    starts: int = 0

    @property
    def restarts(self) -> int:
        """Starts after the first one."""
        return max(self.starts - 1, 0)


class Usage:
    """A ledger from the log: looks at a job whenever a fact concerns it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._last: dict[JobId, tuple[Placement, Bucket, int]] = {}
        self.jobs: dict[JobId, Used] = {}

    def __call__(self, recorded: Recorded) -> None:
        """Count what was held since the last look."""
        event = recorded.event
        if isinstance(event, Decided):
            for action in event.decision.actions:
                self._look(action.job, recorded.at_ns)
        elif not isinstance(event, OF_NO_JOB):
            self._look(event.job, recorded.at_ns)

    def _look(self, job_id: JobId, at_ns: int) -> None:
        job = self._state.jobs[job_id]
        used = self.jobs.setdefault(job_id, Used())
        last = self._last.get(job_id)
        if last is not None:
            placement, bucket, since_ns = last
            device_s = placement.world_size * (at_ns - since_ns) / NS_PER_S
            used.held_s += device_s
            if bucket is Bucket.STARTING:
                used.starting_s += device_s
                if job.account.bucket is Bucket.RUNNING and job.account.starting_ns:
                    used.starts += job.launched_at_ns < at_ns
        if job.attempt is None:
            self._last.pop(job_id, None)
        else:
            self._last[job_id] = job.attempt.placement, job.account.bucket, at_ns
