"""What the virtual world asks of whoever knows how long things really take."""

from dataclasses import dataclass
from typing import Protocol

from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId
from irongrid.domain.job import WHOLE_MILLI


@dataclass(frozen=True, slots=True)
class TraceJob:
    """One row of a workload.

    Attributes:
        group: who it belongs to, as far as the data tell: what a predictor may group by.
        gpus: of the user's request.
        service_s: how long it ran; 0 where that depends on the placement.
        application, batch_size: what it trains; empty where the data do not tell.
        team: whose share it used; empty where the data do not tell.
        device_type: of the user's request; empty is any.
        cpus, memory_bytes: of the user's request, per device; 0 asks for none.
        device_milli: thousandths of each device; 0 is a job without a device.
    """

    key: str
    submit_s: float
    group: str
    gpus: int
    service_s: float = 0.0
    application: str = ""
    batch_size: int = 0
    team: str = ""
    device_type: str = ""
    cpus: float = 0.0
    memory_bytes: int = 0
    device_milli: int = WHOLE_MILLI


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the ranks of a job know of its training; fields as in `domain.event.Measured`."""

    local_bsz: int
    accum_steps: int
    step_s: float
    sync_s: float
    grad_sqr: float
    grad_var: float
    progress: float
    data_epochs: int


class Futures(Protocol):
    """The truth of all jobs of a run."""

    def add(self, job: JobId, row: TraceJob) -> None:
        """A job that was submitted."""

    def startup_ns(self, job: JobId, epoch: int, placement: Placement, now_ns: int) -> int:
        """From launch to the first work."""

    def begin(self, job: JobId, placement: Placement, batch: tuple[int, int], now_ns: int) -> int:
        """The ranks work from now on; the time to the next news of them.

        Args:
            batch: samples per rank and pass, and passes beyond the first; of no effect where the
                truth knows but one batch.
        """

    def news(self, job: JobId, now_ns: int) -> Measurement | None:
        """What the ranks report at the time that was foretold; None once all is done."""

    def measured(self, job: JobId) -> Measurement | None:
        """What stopped ranks report at last; None where they have measured nothing."""

    def tune(self, job: JobId, batch: tuple[int, int], now_ns: int) -> int:
        """The ranks go on with this batch; the time to the next news."""

    def stop(self, job: JobId, now_ns: int, *, saved: bool) -> int:
        """The ranks work no more; the work that they did, which counts if it was saved."""

    def abort(self, job: JobId, now_ns: int) -> None:
        """The ranks were stopped before they worked."""

    def finish(self, job: JobId, now_ns: int) -> None:
        """The ranks have done all."""

    def service_s(self, job: JobId) -> float:
        """The work of an ended job, without waits and restarts."""


class FixedBatch:
    """The part of `Futures` of jobs that report nothing before their end."""

    def news(self, job: JobId, now_ns: int) -> Measurement | None:
        """The only news is the end."""
        return None

    def measured(self, job: JobId) -> Measurement | None:
        """Nothing."""
        return None

    def tune(self, job: JobId, batch: tuple[int, int], now_ns: int) -> int:
        """Never asked for, as nothing is ever reported."""
        raise AssertionError(f"{job} keeps its batch")

    def abort(self, job: JobId, now_ns: int) -> None:
        """A start that came to nothing leaves no trace."""
