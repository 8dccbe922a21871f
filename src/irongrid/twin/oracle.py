"""What perfect knowledge is worth: outlooks and batches from the truth, as a bound only."""

import numpy as np

from irongrid.control.state import State
from irongrid.domain.device import Placement
from irongrid.domain.ids import JobId
from irongrid.domain.job import AdaptiveBatch
from irongrid.forecast.batches import batches_of
from irongrid.scheduler.outlook import Outlook
from irongrid.scheduler.sizes import Sizes
from irongrid.twin.truth.applications import Application
from irongrid.twin.truth.elastic import ElasticFutures, feasible


class Oracle:
    """Knows all speeds and all that is left; not who comes next."""

    def __init__(self, sizes: Sizes, futures: ElasticFutures) -> None:
        self.state: State | None = None
        self._sizes = sizes
        self._futures = futures
        self._tables: dict[str, _Table] = {}

    def outlook(self, job: JobId, now_ns: int) -> Outlook:
        """Exact remaining times at the best batch of each epoch."""
        training, table = self._futures.training(job), self._table(job)
        at = training.epoch
        ends = table.ends
        before = ends[at - 1] if at else 0.0
        done = self._futures.progress(job, now_ns) - before
        left_C = np.maximum(table.left_CE[:, at] - done / table.rate_CE[:, at], 1.0)
        done_C = (done + before) / table.rate_CE[:, at]
        return Outlook(
            left_s_C=left_C,
            done_s_C=done_C,
            sure=1.0,
            restart_s=float(training.application.restart_delay_s),
            run_ranks=int(self._sizes.devices_C.max()),
        )

    def batch(self, job: JobId, placement: Placement) -> tuple[int, int]:
        """The best batch of the current epoch."""
        training, table = self._futures.training(job), self._table(job)
        kind = self._kind(placement)
        column = self._sizes.column(kind, placement.world_size)
        assert column is not None
        local, accum = table.batch_CE[column][training.epoch]
        return int(local), int(accum)

    def _kind(self, placement: Placement) -> str:
        assert self.state is not None
        return self.state.nodes[placement.shares[0].node].device_type

    def _table(self, job: JobId) -> "_Table":
        assert self.state is not None
        application = self._futures.training(job).application
        limits = self.state.jobs[job].spec.adaptive
        assert limits is not None
        found = self._tables.get(application.name)
        if found is None:
            found = self._tables[application.name] = _Table(application, limits, self._sizes)
        return found


class _Table:
    """Rates and best batches of one application by size (C) and epoch (E)."""

    def __init__(self, application: Application, limits: AdaptiveBatch, sizes: Sizes) -> None:
        batches = batches_of(limits, sizes.kinds, sizes.kind_C, sizes.devices_C)
        epochs = application.max_epochs
        statistics = application.statistics
        self.ends = np.array([statistics.epoch_end(epoch) for epoch in range(epochs)])
        self.rate_CE = np.zeros((len(sizes), epochs))
        self.batch_CE: list[np.ndarray] = []
        gains: dict[int, np.ndarray] = {}
        for c in range(len(sizes)):
            per_node = sizes.per_node[sizes.kind_C[c]]
            whole, rest = divmod(int(sizes.devices_C[c]), per_node)
            shape = (per_node,) * whole + ((rest,) if rest else ())
            kind = sizes.kinds[sizes.kind_C[c]]
            best = np.zeros(epochs)
            batch = np.zeros((epochs, 2), dtype=int)
            for local, accum in sorted(
                set(zip(batches.local_CS[c], batches.accum_CS[c], strict=True))
            ):
                if local == 0:
                    continue
                run = feasible(application, kind, shape, int(local), int(accum))
                times = application.profiles[kind].step_time(shape, run.local_bsz)
                total = run.replicas * run.local_bsz * (run.accum_steps + 1)
                if total not in gains:
                    gains[total] = np.array([statistics.gain(total, e) for e in range(epochs)])
                rate = gains[total] / times.iteration_s(run.accum_steps) / application.slowdown
                better = rate > best
                best = np.where(better, rate, best)
                batch[better] = run.local_bsz, run.accum_steps
            self.rate_CE[c] = best
            self.batch_CE.append(batch)
        work_E = np.diff(self.ends, prepend=0.0)
        with np.errstate(divide="ignore"):
            time_CE = work_E / self.rate_CE
        self.left_CE = np.cumsum(time_CE[:, ::-1], axis=1)[:, ::-1]
