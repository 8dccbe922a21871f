"""Futures of jobs that may run at any size and batch: progress, epochs, restarts, as measured.

Rules: `data/sia/README.md`. A job pays its restart delay whenever its GPU type or the shape of its
placement changes, and when it resumes after it held nothing; to move to other nodes with the same
type and shape is free. What ranks measure is true and comes without noise; what they have not run
on, they do not know.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field

from irongrid.domain.device import Node, Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.twin.truth.applications import Application
from irongrid.twin.truth.profiles import Shape
from irongrid.twin.truth.training import Configuration, Training
from irongrid.twin.truth.world import Measurement, TraceJob
from irongrid.units import NS_PER_S

# Optimizer steps after which a worker knows its step time.
MEASURED_STEPS = 10


@dataclass(slots=True)
class _Run:
    """A job's training.

    Attributes:
        where: GPU type and shape that it holds or held last.
        left_ns: of its restart, when it stopped or now.
        stopped_ns: when it last held something.
        known: configurations that its ranks have measured.
        to_epoch_end: whether its next news is the end of an epoch.
    """

    training: Training
    where: tuple[str, Shape] | None = None
    launched_ns: int = 0
    left_ns: int = 0
    stopped_ns: int = -1
    since_ns: int = 0
    worked_ns: int = 0
    works: bool = False
    known: set[Configuration] = field(default_factory=set)
    to_epoch_end: bool = False


class ElasticFutures:
    """The world of the sia and pollux sets for jobs of any size."""

    def __init__(self, nodes: tuple[Node, ...], applications: Mapping[str, Application]) -> None:
        self.applications = applications
        self._types: dict[NodeId, str] = {node.id: node.device_type for node in nodes}
        self._runs: dict[JobId, _Run] = {}

    def add(self, job: JobId, row: TraceJob) -> None:
        """A job that was submitted."""
        self._runs[job] = _Run(Training(self.applications[row.application], 0.0))

    def training(self, job: JobId) -> Training:
        """All there is to know of a job: for oracles."""
        return self._runs[job].training

    def progress(self, job: JobId, now_ns: int) -> float:
        """How far a job is at this moment."""
        run = self._runs[job]
        passed_s = now_ns / NS_PER_S - run.training.at_s if run.works else 0.0
        return run.training.progress + (passed_s * run.training.rate() if passed_s > 0 else 0.0)

    def startup_ns(self, job: JobId, epoch: int, placement: Placement, now_ns: int) -> int:
        """The restart delay; what is left of it where neither type nor shape changes."""
        run = self._runs[job]
        where = self._where(placement)
        if where != run.where or run.stopped_ns != now_ns:
            run.left_ns = run.training.application.restart_delay_s * NS_PER_S
        run.where, run.launched_ns = where, now_ns
        return run.left_ns

    def begin(self, job: JobId, placement: Placement, batch: tuple[int, int], now_ns: int) -> int:
        """The ranks work from now on with this batch; the time to the next news of them."""
        run = self._runs[job]
        run.since_ns, run.left_ns, run.works = now_ns, 0, True
        run.training.at_s = now_ns / NS_PER_S
        return self.tune(job, batch, now_ns)

    def tune(self, job: JobId, batch: tuple[int, int], now_ns: int) -> int:
        """The ranks go on with this batch, or the nearest that fits; the time to the next news."""
        run = self._runs[job]
        training = run.training
        assert run.where is not None, "a job that holds something"
        training.configure(feasible(training.application, *run.where, *batch))
        ahead = copy(training)
        ahead.advance(float("inf"))
        news_s, run.to_epoch_end = ahead.at_s, True
        if training.configuration not in run.known:
            measured_s = training.at_s + MEASURED_STEPS * iteration_s(training)
            if measured_s < news_s:
                news_s, run.to_epoch_end = measured_s, False
        return max(round(news_s * NS_PER_S) - now_ns, 0)

    def news(self, job: JobId, now_ns: int) -> Measurement | None:
        """What the ranks report at the time that was foretold; None once all is done."""
        run = self._runs[job]
        training = run.training
        if run.to_epoch_end:
            training.advance(float("inf"))
        else:
            training.advance_within(now_ns / NS_PER_S)
        training.at_s = now_ns / NS_PER_S
        if training.completed_at_s is not None:
            return None
        run.known.add(training.configuration)
        return measurement(training)

    def measured(self, job: JobId) -> Measurement | None:
        """What stopped ranks report at last; None where they have not run long enough."""
        training = self._runs[job].training
        if (
            training.completed_at_s is not None
            or training.configuration not in self._runs[job].known
        ):
            return None
        return measurement(training)

    def stop(self, job: JobId, now_ns: int, *, saved: bool) -> int:
        """The ranks work no more; the work that they did, which counts if it was saved."""
        run = self._runs[job]
        self._halt(run, now_ns)
        done_ns = now_ns - run.since_ns
        run.worked_ns += done_ns
        if saved:
            run.training.advance_within(now_ns / NS_PER_S)
        return done_ns

    def abort(self, job: JobId, now_ns: int) -> None:
        """The ranks were stopped before they worked."""
        run = self._runs[job]
        self._halt(run, now_ns)
        run.left_ns -= now_ns - run.launched_ns

    def finish(self, job: JobId, now_ns: int) -> None:
        """The ranks have done all."""
        run = self._runs[job]
        run.works = False
        run.worked_ns += now_ns - run.since_ns

    def service_s(self, job: JobId) -> float:
        """For how long its ranks worked, on whatever they got."""
        return self._runs[job].worked_ns / NS_PER_S

    def _halt(self, run: _Run, now_ns: int) -> None:
        run.stopped_ns, run.works = now_ns, False

    def _where(self, placement: Placement) -> tuple[str, Shape]:
        types = {self._types[share.node] for share in placement.shares}
        assert len(types) == 1, f"a gang on one type of GPU, not on {types}"
        shape = tuple(sorted((len(share.devices) for share in placement.shares), reverse=True))
        return types.pop(), shape


def feasible(
    application: Application, gpu_type: str, shape: Shape, local_bsz: int, accum_steps: int
) -> Configuration:
    """The configuration nearest to what was asked for that memory and application bear.

    Measured batches stand for what fits; beyond them the measurements say nothing.
    """
    replicas = sum(shape)
    limits = application.limits[gpu_type]
    least, most = application.profiles[gpu_type].local_bsz_range(shape)
    if replicas == 1 and accum_steps == 0 and local_bsz > application.init_batch_size:
        # One GPU measures gradient noise between passes, so it needs two of them.
        local_bsz, accum_steps = -(-local_bsz // 2), 1
    most = min(most, limits.max_local_bsz, application.max_batch_size // replicas)
    accum_steps = min(accum_steps, application.max_batch_size // (replicas * least) - 1)
    most = min(most, application.max_batch_size // (replicas * (accum_steps + 1)))
    return Configuration(gpu_type, shape, min(max(local_bsz, least), most), accum_steps)


def iteration_s(training: Training) -> float:
    """Wall time of one optimizer step now."""
    run, application = training.configuration, training.application
    times = application.profiles[run.gpu_type].step_time(run.shape, run.local_bsz)
    return times.iteration_s(run.accum_steps) * application.slowdown


def measurement(training: Training) -> Measurement:
    """What the ranks of a job know of its training now."""
    run, application = training.configuration, training.application
    times = application.profiles[run.gpu_type].step_time(run.shape, run.local_bsz)
    batch_size = run.replicas * run.local_bsz * (run.accum_steps + 1)
    grad_sqr, grad_var = application.statistics.gradient(batch_size, training.epoch)
    return Measurement(
        local_bsz=run.local_bsz,
        accum_steps=run.accum_steps,
        step_s=times.step_s * application.slowdown,
        sync_s=times.sync_s * application.slowdown,
        grad_sqr=grad_sqr,
        grad_var=grad_var,
        progress=training.progress,
        data_epochs=training.epoch,
    )
