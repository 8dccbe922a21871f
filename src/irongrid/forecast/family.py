"""What is known of one application: step times at its sizes, gradient statistics, total work.

Under `none` a family is one job; under `shared` it is all jobs of an application.
"""

from dataclasses import dataclass, field

import numpy as np

from irongrid.domain.job import AdaptiveBatch
from irongrid.forecast.batches import Batches, batches_of
from irongrid.forecast.fleet import FleetSizes
from irongrid.forecast.throughput import Seen, StepModel, fit

# Batches closer than this are one measurement: they would say the same again.
_SAME_BATCH = 0.15
# A measurement this near to what was said changes nothing.
_FORETOLD = 0.02
# Noise grows at most with the batch itself.
_MOST_RISE = float(np.log(2.0))
# Stretches of training into which data epochs are put together.
STRETCHES = 20


@dataclass(slots=True)
class _Epoch:
    """A data epoch as jobs have seen it.

    Attributes:
        begin: progress at its begin.
        noise: gradient noise scale by the batch, as doublings of the initial one: what is measured
            depends on the batch, and larger ones pay more than small ones let expect.
    """

    begin: float
    noise: dict[int, tuple[float, int]] = field(default_factory=dict)

    def saw(self, doublings: int, noise: float) -> None:
        """One more measurement."""
        mean, seen = self.noise.get(doublings, (0.0, 0))
        self.noise[doublings] = mean + (noise - mean) / (seen + 1), seen + 1

    def rise(self) -> float | None:
        """By how much noise grows per doubling of the batch, as a logarithm; None if unknown."""
        least, most = min(self.noise), max(self.noise)
        low, high = self.noise[least][0], self.noise[most][0]
        if least == most or low <= 0 or high <= 0:
            return None
        return float(np.log(high / low)) / (most - least)


@dataclass(slots=True)
class _Work:
    """All work of an application, in stretches (B) of about the same noise.

    Attributes:
        end_B: progress at the end of each stretch.
        left_BC: seconds from the end of a stretch to the end of the job on each size.
        rate_BC: progress per second within a stretch.
    """

    end_B: np.ndarray
    left_BC: np.ndarray
    rate_BC: np.ndarray


class Family:
    """Grows with what jobs report; answers are worked out when they are asked for."""

    def __init__(self, limits: AdaptiveBatch, fleet: FleetSizes) -> None:
        self.limits = limits
        self._fleet = fleet
        self._batches: Batches = batches_of(limits, fleet.kinds, fleet.kind_C, fleet.devices_C)
        least = np.maximum(self._batches.global_CS, 1)
        self._scale_CS: np.ndarray = least / limits.init_batch_size
        self._seen: dict[str, dict[tuple[int, int, int], Seen]] = {}
        self._epochs: dict[int, _Epoch] = {}
        self._rises: dict[int, float] = {}
        self._total: float | None = None
        self._iteration_CS: np.ndarray | None = None
        self._work: _Work | None = None
        self._fitted: dict[str, tuple[StepModel, dict[int, float]]] = {}
        self.most_ranks = 0
        self.most_progress = 0.0

    # ---- what jobs report

    def measured(self, kind: str, seen: Seen) -> None:
        """A step time."""
        self.most_ranks = max(self.most_ranks, seen.ranks)
        batch = round(float(np.log(seen.local_bsz)) / _SAME_BATCH)
        key = seen.nodes, seen.ranks, batch
        of_kind = self._seen.setdefault(kind, {})
        if key not in of_kind:
            of_kind[key] = seen
            if not self._foretold(kind, seen):
                self._iteration_CS = self._work = None

    def trained(self, epoch: int, progress: float, scale: float, noise: float) -> None:
        """What an epoch of the data looks like with a batch of `scale` initial ones."""
        self.most_progress = max(self.most_progress, progress)
        known = self._epochs.get(epoch)
        if known is None:
            known = self._epochs[epoch] = _Epoch(progress)
            self._work = None
        known.begin = min(known.begin, progress)
        known.saw(round(np.log2(scale)), noise)
        rise = known.rise()
        if rise is not None:
            self._rises[epoch] = rise

    def finished(self) -> None:
        """A job has come to its end: all epochs are known now."""
        if self._total is None:
            last = max(self._epochs)
            before = self._epochs.get(last - 1)
            length = self._epochs[last].begin - before.begin if before else 0.0
            self._total = self._epochs[last].begin + length
        self._work = None

    def knows(self, kind: str) -> bool:
        """Whether anything was measured on a kind of device."""
        return kind in self._seen

    # ---- what follows

    def iteration_CS(self) -> np.ndarray:
        """Seconds of an optimizer step by size and batch; infinite where it cannot run."""
        if self._iteration_CS is None:
            self._iteration_CS = self._iterations()
        return self._iteration_CS

    def rate_CS(self, noise_CS: np.ndarray) -> np.ndarray:
        """Progress per second by size and batch at gradient noise scales."""
        with np.errstate(divide="ignore"):
            gain_CS = (noise_CS + 1) / (noise_CS / self._scale_CS + 1)
        found: np.ndarray = gain_CS / self.iteration_CS()
        return found

    def noise_CS(self, epoch: int) -> np.ndarray:
        """Noise scales of an epoch by batch: from it and its neighbours, else the nearest one."""
        near = [known for known in (epoch + 1, epoch - 1, epoch) if known in self._epochs]
        if not near:
            if not self._epochs:
                return np.zeros_like(self._scale_CS)
            near = [min(self._epochs, key=lambda known: (abs(known - epoch), known))]
        by_batch: dict[int, float] = {}
        for known in near:
            by_batch |= {at: mean for at, (mean, _) in self._epochs[known].noise.items()}
        return self._over_batches(by_batch)

    def _over_batches(self, by_batch: dict[int, float]) -> np.ndarray:
        """Noise between and beyond the batches at which it was measured."""
        known = sorted(by_batch)
        doublings_CS = np.log2(self._scale_CS)
        found_CS = np.asarray(np.interp(doublings_CS, known, [by_batch[at] for at in known]))
        # Beyond the largest batch that was tried, noise goes on to grow as it did elsewhere.
        rise = float(np.mean(list(self._rises.values()))) if self._rises else 0.0
        rise = min(max(rise, 0.0), _MOST_RISE)
        beyond_CS = np.maximum(doublings_CS - known[-1], 0.0)
        found: np.ndarray = found_CS * np.exp(rise * beyond_CS)
        return found

    def batch(self, column: int, epoch: int) -> tuple[int, int]:
        """The best batch of a size: samples per rank and pass, and passes beyond the first."""
        best = int(np.argmax(self.rate_CS(self.noise_CS(epoch))[column]))
        return int(self._batches.local_CS[column, best]), int(self._batches.accum_CS[column, best])

    def first_batch(self, column: int) -> tuple[int, int]:
        """The smallest batch of a size, for the first measurement."""
        return int(self._batches.local_CS[column, 0]), int(self._batches.accum_CS[column, 0])

    @property
    def total_known(self) -> bool:
        """Whether a job has been seen to its end."""
        return self._total is not None

    def left_s_C(self, progress: float) -> np.ndarray:
        """Seconds to the end on each size, once a job has been seen to its end."""
        work = self._work or self._stretches()
        self._work = work
        at = min(int(np.searchsorted(work.end_B, progress, side="right")), len(work.end_B) - 1)
        here = max(work.end_B[at] - progress, 0.0)
        with np.errstate(divide="ignore"):
            found: np.ndarray = work.left_BC[at] + here / work.rate_BC[at]
        return found

    def _stretches(self) -> _Work:
        assert self._total is not None, "a job has ended"
        epochs = sorted(self._epochs)
        begin_E = np.array([self._epochs[epoch].begin for epoch in epochs])
        end_E = np.append(begin_E[1:], max(self._total, begin_E[-1]))
        parts = np.array_split(np.arange(len(epochs)), min(STRETCHES, len(epochs)))
        end_B = np.array([end_E[part[-1]] for part in parts])
        work_B = np.diff(end_B, prepend=0.0)
        rate_BC = np.array(
            [
                self.rate_CS(self._pooled_CS([epochs[at] for at in part])).max(axis=1)
                for part in parts
            ]
        )
        with np.errstate(divide="ignore"):
            time_BC = work_B[:, None] / rate_BC
        after_BC = np.cumsum(time_BC[::-1], axis=0)[::-1] - time_BC
        return _Work(end_B, np.where(np.isfinite(time_BC), after_BC, np.inf), rate_BC)

    def _foretold(self, kind: str, seen: Seen) -> bool:
        """Whether the model in force said the same: then there is nothing to learn."""
        fitted = self._fitted.get(kind)
        if self._iteration_CS is None or fitted is None:
            return False
        model, misses = fitted
        step, _ = model.times(np.array(seen.nodes), np.array(seen.ranks), np.array(seen.local_bsz))
        said_s = float(step) * misses.get(seen.ranks, 1.0)
        return abs(said_s / seen.step_s - 1) < _FORETOLD

    def _pooled_CS(self, epochs: list[int]) -> np.ndarray:
        """Noise of several epochs together."""
        means: dict[int, list[float]] = {}
        for epoch in epochs:
            for at, (mean, _) in self._epochs[epoch].noise.items():
                means.setdefault(at, []).append(mean)
        return self._over_batches({at: float(np.mean(each)) for at, each in means.items()})

    def _iterations(self) -> np.ndarray:
        fleet, batches = self._fleet, self._batches
        found_CS = np.full(batches.local_CS.shape, np.inf)
        models = self._models()
        for at, kind in enumerate(fleet.kinds):
            of_kind = (fleet.kind_C == at) & (batches.local_CS[:, 0] > 0)
            if kind not in models or not of_kind.any():
                continue
            local_CS = batches.local_CS[of_kind]
            nodes, ranks = fleet.nodes_C[of_kind], fleet.devices_C[of_kind]
            step_CS, compute_CS = models[kind].times(nodes[:, None], ranks[:, None], local_CS)
            misses = self._misses(kind, models[kind])
            self._fitted[kind] = models[kind], misses
            miss_C = np.array([misses.get(int(count), 1.0) for count in ranks])
            found_CS[of_kind] = (step_CS + batches.accum_CS[of_kind] * compute_CS) * miss_C[:, None]
        return found_CS

    def _misses(self, kind: str, model: StepModel) -> dict[int, float]:
        """How much longer steps really took than the model says, for counts that were run."""
        by_ranks: dict[int, list[float]] = {}
        of_kind = list(self._seen.get(kind, {}).values())
        if not of_kind:
            return {}
        nodes, ranks, local_bsz = (
            np.array([getattr(seen, name) for seen in of_kind])
            for name in ("nodes", "ranks", "local_bsz")
        )
        step, _ = model.times(nodes, ranks, local_bsz)
        for seen, said_s in zip(of_kind, step, strict=True):
            by_ranks.setdefault(seen.ranks, []).append(float(np.log(seen.step_s / said_s)))
        return {ranks: float(np.exp(np.mean(logs))) for ranks, logs in by_ranks.items()}

    def _models(self) -> dict[str, StepModel]:
        """A model of each kind: fitted where it was measured, else as others suggest."""
        order = sorted(self._seen, key=lambda kind: (-len(self._seen[kind]), kind))
        models: dict[str, StepModel] = {}
        for kind in order:
            like = self._like(models, order, kind)
            models[kind] = fit(list(self._seen[kind].values()), self._reference(kind), like)
        for kind in self._fleet.kinds:
            if kind not in models and self.limits.local_on(kind) is not None:
                like = self._like(models, order, kind)
                if like is not None:
                    models[kind] = like
        return models

    def _like(self, models: dict[str, StepModel], order: list[str], kind: str) -> StepModel | None:
        """What the kind that was measured most says of another one."""
        known = next((other for other in order if other in models), None)
        if known is None:
            return None
        ratio = self._fleet.speed[kind] / self._fleet.speed[known]
        return models[known].on(self._reference(kind), ratio)

    def _reference(self, kind: str) -> float:
        local = self.limits.local_on(kind)
        assert local is not None, f"{self.limits.application} runs on {kind}"
        return float(np.sqrt(local.least * local.most))
