"""Futures of jobs whose speed depends on where they run: measured profiles, epochs, restarts.

Jobs here keep their user's batch and gang size. Time to the end is walked epoch by epoch on the
placement that the brain chose, by the rules that the golden replays hold to the second.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

from irongrid.domain.device import Node, Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.twin.truth.applications import Application
from irongrid.twin.truth.batches import rigid_configuration
from irongrid.twin.truth.profiles import Shape
from irongrid.twin.truth.training import Training
from irongrid.twin.truth.world import FixedBatch, TraceJob
from irongrid.units import NS_PER_S


@dataclass(slots=True)
class _Run:
    """A job's training, and what its ranks worked in all attempts."""

    training: Training
    batch_size: int
    worked_ns: int = 0
    since_ns: int = 0


class ProfiledFutures(FixedBatch):
    """The world of the sia and pollux sets for rigid jobs."""

    def __init__(self, nodes: tuple[Node, ...], applications: Mapping[str, Application]) -> None:
        self._applications = applications
        self._types: dict[NodeId, str] = {node.id: node.device_type for node in nodes}
        self._runs: dict[JobId, _Run] = {}

    def add(self, job: JobId, row: TraceJob) -> None:
        """A job that was submitted."""
        training = Training(self._applications[row.application], 0.0)
        self._runs[job] = _Run(training, row.batch_size)

    def startup_ns(self, job: JobId, epoch: int, placement: Placement, now_ns: int) -> int:
        """Every start costs the application's restart delay, the first one too."""
        return self._runs[job].training.application.restart_delay_s * NS_PER_S

    def begin(self, job: JobId, placement: Placement, batch: tuple[int, int], now_ns: int) -> int:
        """The ranks work from now on; the time that they take if nothing comes between."""
        run = self._runs[job]
        gpu_type, shape = self._where(placement)
        training, application = run.training, run.training.application
        training.at_s, run.since_ns = 0.0, now_ns
        training.configure(rigid_configuration(application, gpu_type, shape, run.batch_size))
        ahead = copy(training)
        while ahead.completed_at_s is None:
            ahead.advance(float("inf"))
        return round(ahead.completed_at_s * NS_PER_S)

    def stop(self, job: JobId, now_ns: int, *, saved: bool) -> int:
        """The ranks work no more; the work that they did, which counts if it was saved."""
        run = self._runs[job]
        done_ns = now_ns - run.since_ns
        run.worked_ns += done_ns
        if saved:
            done_s = done_ns / NS_PER_S
            while run.training.at_s < done_s and run.training.completed_at_s is None:
                run.training.advance(done_s)
        return done_ns

    def finish(self, job: JobId, now_ns: int) -> None:
        """The ranks have done all."""
        run = self._runs[job]
        run.worked_ns += now_ns - run.since_ns

    def service_s(self, job: JobId) -> float:
        """For how long its ranks worked, on whatever they got."""
        return self._runs[job].worked_ns / NS_PER_S

    def _where(self, placement: Placement) -> tuple[str, Shape]:
        types = {self._types[share.node] for share in placement.shares}
        assert len(types) == 1, f"a gang on one type of GPU, not on {types}"
        return types.pop(), tuple(len(share.devices) for share in placement.shares)
