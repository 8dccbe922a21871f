"""Outlooks of elastic jobs from what they, and jobs like them, have reported.

Goodput is progress per second: how many steps at the initial batch a second is worth, with the best
batch for the size and the present gradient noise (Pollux, OSDI 2021).
"""

from dataclasses import dataclass

import numpy as np

from irongrid.domain.event import Measured
from irongrid.domain.ids import JobId
from irongrid.domain.job import AdaptiveBatch
from irongrid.forecast.family import Family
from irongrid.forecast.fleet import FleetSizes
from irongrid.forecast.throughput import Seen
from irongrid.units import NS_PER_S

# A job that nothing is known of is taken for one that lasts as long again as it has, and so much.
_GUESS_S = 600.0
# Seven in ten jobs last at least this share of as long again, if lengths follow a power law of
# exponent 1 (Lindy's).
_SURE = 0.4
_GUESS_RANKS = 4
# A gradient that is nearly all noise: larger batches pay in full.
_MOST_NOISE = 1e6
_HAIR = 1e-30


@dataclass(slots=True)
class Track:
    """One job's training so far.

    Attributes:
        at_ns: when `progress` held; it grows by `rate` from then on.
        data_epochs: passes over the data that are done.
        kinds: device types on which it has measured.
    """

    family: Family
    limits: AdaptiveBatch
    progress: float = 0.0
    at_ns: int = 0
    rate: float = 0.0
    data_epochs: int = 0
    most_ranks: int = 0
    work_s: float = 0.0

    def progress_at(self, now_ns: int) -> float:
        """How far it is by now."""
        return self.progress + self.rate * max(now_ns - self.at_ns, 0) / NS_PER_S


class Goodputs:
    """All that reports have taught.

    Args of the constructor:
        shared: whether jobs of one application learn from each other.
    """

    def __init__(self, fleet: FleetSizes, *, shared: bool) -> None:
        self._fleet = fleet
        self._shared = shared
        self._families: dict[str, Family] = {}
        self._tracks: dict[JobId, Track] = {}

    # ---- reports

    def submitted(self, job: JobId, limits: AdaptiveBatch) -> None:
        """A job has come."""
        family = self._families.get(limits.application) if self._shared else None
        if family is None:
            family = Family(limits, self._fleet)
            if self._shared:
                self._families[limits.application] = family
        self._tracks[job] = Track(family, limits)

    def measured(self, fact: Measured, kind: str, nodes: int, ranks: int, at_ns: int) -> None:
        """A job has told how its training goes."""
        track = self._tracks[fact.job]
        compute_s = fact.step_s - fact.sync_s
        seen = Seen(nodes, ranks, fact.local_bsz, fact.step_s, compute_s)
        track.family.measured(kind, seen)
        noise = fact.grad_var / max(fact.grad_sqr, fact.grad_var / _MOST_NOISE, _HAIR)
        scale = ranks * fact.local_bsz * (fact.accum_steps + 1) / track.limits.init_batch_size
        track.family.trained(fact.data_epochs, fact.progress, scale, noise)
        gain = (noise + 1) / (noise / scale + 1)
        track.progress, track.at_ns = fact.progress, at_ns
        track.rate = gain / (fact.step_s + fact.accum_steps * compute_s)
        track.data_epochs = fact.data_epochs
        track.most_ranks = max(track.most_ranks, ranks)

    def stopped(self, job: JobId) -> None:
        """A job's ranks work no more; its last report still holds."""
        self._tracks[job].rate = 0.0

    def finished(self, job: JobId) -> None:
        """A job has done all."""
        track = self._tracks.pop(job)
        if self._shared:
            track.family.finished()

    def forget_jobs(self) -> None:
        """Begin with other jobs; what was learned stays."""
        self._tracks.clear()

    # ---- answers

    def batch(self, job: JobId, kind: str, ranks: int) -> tuple[int, int]:
        """Samples per rank and pass, and passes beyond the first, that a job should train with."""
        track = self._tracks[job]
        column = self._fleet.column(kind, ranks)
        if not track.family.knows(kind):
            return track.family.first_batch(column)
        return track.family.batch(column, track.data_epochs)

    def left_s_C(self, job: JobId, now_ns: int) -> np.ndarray:
        """Seconds to the end on each size."""
        track = self._tracks[job]
        family = track.family
        progress, epoch = track.progress_at(now_ns), track.data_epochs
        if not family.most_ranks:
            return self._unknown_C(track.limits)
        if family.total_known:
            known: np.ndarray = np.maximum(family.left_s_C(progress), 1.0)
            return known
        rate_C = family.rate_CS(family.noise_CS(epoch)).max(axis=1)
        guessed = (self._fleet.devices_C == _GUESS_RANKS) & (rate_C > 0)
        usual = float(np.exp(np.log(rate_C[guessed]).mean())) if guessed.any() else rate_C.max()
        left = max(progress, family.most_progress - progress) + _GUESS_S * usual
        with np.errstate(divide="ignore"):
            found: np.ndarray = left / rate_C
        return found

    def done_s_C(self, job: JobId, now_ns: int) -> np.ndarray:
        """Seconds that the training so far would have taken on each size, at the present noise."""
        track = self._tracks[job]
        if not track.family.most_ranks:
            return np.zeros(len(self._fleet.devices_C))
        family = track.family
        rate_C = family.rate_CS(family.noise_CS(track.data_epochs)).max(axis=1)
        with np.errstate(divide="ignore"):
            found: np.ndarray = track.progress_at(now_ns) / rate_C
        return found

    def sure(self, job: JobId) -> float:
        """The share of what is thought to be left that is likely to be needed."""
        return 1.0 if self._tracks[job].family.total_known else _SURE

    def run_ranks(self, job: JobId) -> int:
        """The largest size that a job, or its like, has run on; 0 is none yet."""
        return self._tracks[job].family.most_ranks

    def _unknown_C(self, limits: AdaptiveBatch) -> np.ndarray:
        """Before anything was measured: data-sheet speeds, and a little less for each more rank."""
        fleet = self._fleet
        speed_C = np.array([fleet.speed[kind] for kind in fleet.kinds])[fleet.kind_C]
        runs_C = np.array([limits.local_on(kind) is not None for kind in fleet.kinds])[fleet.kind_C]
        rate_C = speed_C / np.median(list(fleet.speed.values())) * fleet.devices_C**0.8
        return np.where(runs_C, _GUESS_S * _GUESS_RANKS**0.8 / rate_C, np.inf)
