"""Telemetry of running jobs: the latest beat of each, in memory only, and lost with the server."""

import math
from dataclasses import dataclass, field, replace

from irongrid.domain.ids import JobId
from irongrid.domain.messages import Beat, JobDetail, JobRow

# A beat that names more figures than this is cut, and no more jobs than this are kept.
FIGURES = 64
JOBS = 4_096


@dataclass(slots=True)
class _Latest:
    epoch: int
    step: int = 0
    phase: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Saves:
    """Requests to save a checkpoint soon: how many, and the number of the last one."""

    count: int = 0
    number: int = 0


class Beats:
    """Finer progress than the log has, and requests that need no place in it."""

    def __init__(self) -> None:
        self._latest: dict[JobId, _Latest] = {}
        self._saves: dict[JobId, Saves] = {}

    def keep(self, job: JobId, epoch: int, beat: Beat) -> None:
        """Remember a node's beat. Ranks of one gang move in step, so the last node to speak counts.

        Jobs that spoke last are kept.
        """
        latest = self._latest.pop(job, None)
        if latest is None or latest.epoch != epoch:
            latest = _Latest(epoch)
        self._latest[job] = latest
        latest.step = beat.step or latest.step
        latest.phase = beat.phase[:32] or latest.phase
        for name in list(beat.metrics)[:FIGURES]:
            latest.metrics[name[:64]] = beat.metrics[name]
        while len(latest.metrics) > FIGURES:
            del latest.metrics[next(iter(latest.metrics))]
        if len(self._latest) > JOBS:
            del self._latest[next(iter(self._latest))]

    def row(self, row: JobRow) -> JobRow:
        """A row with the latest step."""
        latest = self._latest.get(JobId(row.job_id))
        if latest is None or latest.epoch != row.epoch or row.ended_at_ns or not latest.step:
            return row
        return replace(row, step=latest.step)

    def detail(self, detail: JobDetail) -> JobDetail:
        """A job with its latest step, phase and figures."""
        latest = self._latest.get(JobId(detail.row.job_id))
        if latest is None or latest.epoch != detail.row.epoch:
            return detail
        if detail.row.ended_at_ns:
            return replace(detail, metrics=latest.metrics | detail.metrics)
        return replace(
            detail,
            row=self.row(detail.row),
            metrics=detail.metrics | latest.metrics,
            phase=latest.phase or detail.phase,
        )

    def request_save(self, job: JobId, now_ns: int) -> None:
        """Count a request to save soon.

        Its number is made from the time, so that it rises across a restart of the server.
        """
        before = self.saves(job)
        number = max(before.number + 1, now_ns // 1_000_000)
        self._saves[job] = Saves(before.count + 1, number)
        if len(self._saves) > JOBS:
            del self._saves[next(iter(self._saves))]

    def saves(self, job: JobId) -> Saves:
        """Requests to save so far."""
        return self._saves.get(job, Saves())


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Figures without NaN and infinities, which JSON cannot hold."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
