"""Where the time of jobs went in a world that breaks: what every fault model must account for."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from irongrid.control.state import Job
from irongrid.domain.decision import Start
from irongrid.domain.event import Decided, Recorded
from irongrid.domain.ids import JobId
from irongrid.units import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLost:
    """Seconds, summed over jobs; all parts together are the time from submission to the end.

    Attributes:
        useful_s: work that counts.
        redone_s: work that was lost and done again, and saves that never became whole.
        stall_s: work stood still for a save.
        restart_s: between an order to start, or a failure, and the first work.
        stopping_s: between a decided stop and the last process.
        first_wait_s: in the queue before the first start.
        again_wait_s: in the queue after a start: for a repair, or for others.
        paused_s: on a person's wish.
    """

    useful_s: float
    redone_s: float
    stall_s: float
    restart_s: float
    stopping_s: float
    first_wait_s: float
    again_wait_s: float
    paused_s: float

    @property
    def wall_s(self) -> float:
        """All of it."""
        return float(sum(asdict(self).values()))

    @property
    def ettr(self) -> float:
        """Useful time over the time since the first start: effective training time ratio."""
        since_s = self.wall_s - self.first_wait_s
        return self.useful_s / since_s if since_s else 1.0


class LostTime:
    """Looks on (see `Driver.watchers`), and adds up at the end."""

    def __init__(self) -> None:
        self._first_start_ns: dict[JobId, int] = {}

    def __call__(self, recorded: Recorded) -> None:
        """Note when a job is started for the first time."""
        if isinstance(recorded.event, Decided):
            for action in recorded.event.decision.actions:
                if isinstance(action, Start):
                    self._first_start_ns.setdefault(action.job, recorded.at_ns)

    def of(self, jobs: Iterable[Job]) -> TimeLost:
        """The account of some jobs that have ended."""
        parts = dict.fromkeys(TimeLost.__slots__, 0)
        for job in jobs:
            account = job.account
            started_ns = self._first_start_ns.get(job.id, job.ended_at_ns)
            first_ns = min(account.queued_ns, started_ns - job.submitted_at_ns)
            parts["useful_s"] += account.running_ns
            parts["redone_s"] += account.lost_ns
            parts["stall_s"] += account.stall_ns
            parts["restart_s"] += account.starting_ns + account.recovering_ns
            parts["stopping_s"] += account.stopping_ns
            parts["first_wait_s"] += first_ns
            parts["again_wait_s"] += account.queued_ns - first_ns
            parts["paused_s"] += account.paused_ns
        return TimeLost(**{name: value / NS_PER_S for name, value in parts.items()})
