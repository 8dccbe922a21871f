"""Why ranks stopped."""

from dataclasses import dataclass
from enum import StrEnum

from irongrid.domain.job import RetryCause


class FailureCode(StrEnum):
    """What happened, in one stable word."""

    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out_of_memory"
    HANG = "hang"
    LOST_PEER = "lost_peer"
    WORKER_LOST = "worker_lost"
    LEASE_EXPIRED = "lease_expired"
    START_FAILED = "start_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The first failure of a gang; what follows in other ranks is its echo.

    Attributes:
        rank: global rank that failed first; None when a whole worker is gone.
        exit_code: of the process, when it exited by itself.
        signal: name such as `SIGKILL`, when a signal ended it.
        phase: what the rank was doing: `import`, `build`, `step`, `save`, ...
        memory_limit_bytes, memory_peak_bytes: of the rank's cgroup, where there is one.
        stderr_tail: the last lines of the rank's stderr, at most 20.
    """

    code: FailureCode
    message: str
    node: str = ""
    rank: int | None = None
    exit_code: int | None = None
    signal: str | None = None
    phase: str = ""
    memory_limit_bytes: int | None = None
    memory_peak_bytes: int | None = None
    stderr_tail: tuple[str, ...] = ()

    @property
    def may_be_echo(self) -> bool:
        """Whether the loss of another rank can look like this from here.

        Most programs end with an error of their own when a peer is gone, some by abort().
        """
        by_itself = self.code is FailureCode.EXIT_CODE or self.code is FailureCode.SIGNAL
        return self.code is FailureCode.LOST_PEER or (by_itself and self.cause is RetryCause.USER)

    @property
    def cause(self) -> RetryCause:
        """Whose fault it was.

        A process that ends by its own doing (exit code, crash signal, too much memory) would do so
        again. A kill from outside, a hang, a lost worker and a lost peer are the infrastructure's.
        """
        if self.code in (FailureCode.EXIT_CODE, FailureCode.OUT_OF_MEMORY):
            return RetryCause.USER
        if self.code is FailureCode.START_FAILED:
            return RetryCause.USER
        if self.code is FailureCode.SIGNAL and self.signal not in ("SIGKILL", "SIGTERM", "SIGHUP"):
            return RetryCause.USER
        return RetryCause.INFRASTRUCTURE
