"""How long jobs really run: what a trace recorded, and what a restart costs."""

from dataclasses import dataclass

from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId
from irongrid.twin.truth.world import FixedBatch, TraceJob
from irongrid.units import NS_PER_S


@dataclass(frozen=True, slots=True)
class RestartCosts:
    """Seconds from a launch to the first work after a preemption, by gang size.

    The default is that of `knowledge/traces.md`, section 4; a first start is free there.
    """

    one_s: float = 7.0
    up_to_8_s: float = 30.0
    more_s: float = 60.0

    def of(self, ranks: int) -> float:
        """The cost for a gang."""
        return self.one_s if ranks == 1 else self.up_to_8_s if ranks <= 8 else self.more_s


class RigidFutures(FixedBatch):
    """Jobs that need a fixed service time on a fixed number of devices."""

    def __init__(self, restart: RestartCosts) -> None:
        self._restart = restart
        self._service_ns: dict[JobId, int] = {}
        self._left_ns: dict[JobId, int] = {}
        self._since_ns: dict[JobId, int] = {}

    def add(self, job: JobId, row: TraceJob) -> None:
        """A job that was submitted."""
        self._service_ns[job] = self._left_ns[job] = round(row.service_s * NS_PER_S)

    def service_s(self, job: JobId) -> float:
        """The work of a job, without waits and restarts."""
        return self._service_ns[job] / NS_PER_S

    def left_s(self, job: JobId, now_ns: int) -> float:
        """The work that is left: an oracle's answer."""
        since_ns = self._since_ns.get(job, now_ns)
        return (self._left_ns[job] - max(now_ns - since_ns, 0)) / NS_PER_S

    def restart_s(self, ranks: int) -> float:
        """What a restart costs a gang."""
        return self._restart.of(ranks)

    def startup_ns(self, job: JobId, epoch: int, placement: Placement, now_ns: int) -> int:
        """From launch to the first work."""
        return 0 if epoch == 1 else round(self._restart.of(placement.world_size) * NS_PER_S)

    def begin(self, job: JobId, placement: Placement, batch: tuple[int, int], now_ns: int) -> int:
        """The ranks work from now on; the time that they take if nothing comes between."""
        self._since_ns[job] = now_ns
        return self._left_ns[job]

    def stop(self, job: JobId, now_ns: int, *, saved: bool) -> int:
        """The ranks work no more; the work that they did, which counts if it was saved."""
        done_ns = now_ns - self._since_ns.pop(job)
        if saved:
            self._left_ns[job] -= done_ns
        return done_ns

    def finish(self, job: JobId, now_ns: int) -> None:
        """The ranks have done all."""
        self._left_ns[job] = 0
