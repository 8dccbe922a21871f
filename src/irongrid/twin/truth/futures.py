"""How long jobs really run: what a trace recorded, and what a restart costs."""

from dataclasses import dataclass

from irongrid.domain.ids import JobId
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


class RigidFutures:
    """Jobs that need a fixed service time on a fixed number of devices."""

    def __init__(self, restart: RestartCosts) -> None:
        self._restart = restart
        self._service_ns: dict[JobId, int] = {}
        self._left_ns: dict[JobId, int] = {}

    def add(self, job: JobId, service_s: float) -> None:
        """A job that was submitted."""
        self._service_ns[job] = self._left_ns[job] = round(service_s * NS_PER_S)

    def service_s(self, job: JobId) -> float:
        """The work of a job, without waits and restarts."""
        return self._service_ns[job] / NS_PER_S

    def left_s(self, job: JobId) -> float:
        """The work that is left, as of the last time when the job stopped."""
        return self._left_ns[job] / NS_PER_S

    def startup_ns(self, epoch: int, ranks: int) -> int:
        """From launch to ready."""
        return 0 if epoch == 1 else round(self._restart.of(ranks) * NS_PER_S)

    def left_ns(self, job: JobId) -> int:
        """From ready to the end, if nothing comes between."""
        return self._left_ns[job]

    def saved(self, job: JobId, done_ns: int) -> None:
        """So much of what was left is done and safe."""
        self._left_ns[job] -= done_ns
