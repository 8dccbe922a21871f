"""The batches that an adaptive job may train with at each size.

Rule: global batches between the initial and the largest one in geometric steps, split over ranks
and passes so that a pass fits a device (Pollux, OSDI 2021, whose artifact tries 50 of them).
"""

from dataclasses import dataclass

import numpy as np

from irongrid.domain.job import AdaptiveBatch

SAMPLES = 30
# Divisions that come out a hair above a whole number must not cost a sample.
_HAIR = 1e-8


@dataclass(frozen=True)
class Batches:
    """Per size (C) and sample (S).

    Attributes:
        local_CS: samples per rank and pass; 0 where the size does not run.
        accum_CS: passes beyond the first.
        global_CS: samples per optimizer step.
    """

    local_CS: np.ndarray
    accum_CS: np.ndarray
    global_CS: np.ndarray


def batches_of(
    limits: AdaptiveBatch, kinds: tuple[str, ...], kind_C: np.ndarray, devices_C: np.ndarray
) -> Batches:
    """All batches of a job on the sizes of a fleet."""
    local = [limits.local_on(kind) for kind in kinds]
    least_C = np.array([each.least if each else 0 for each in local])[kind_C]
    most_C = np.array([each.most if each else 0 for each in local])[kind_C]
    runs_C = (least_C > 0) & (least_C * devices_C <= limits.max_batch_size)
    first_C = np.maximum(limits.init_batch_size, least_C * devices_C).astype(float)
    first_C = np.minimum(first_C, limits.max_batch_size)
    steps_S = np.linspace(0.0, 1.0, SAMPLES)
    wanted_CS = first_C[:, None] * (limits.max_batch_size / first_C)[:, None] ** steps_S
    devices_C1 = devices_C[:, None]
    share_CS = wanted_CS / devices_C1
    accum_CS = np.ceil(share_CS / np.maximum(most_C, 1)[:, None] - _HAIR).astype(int) - 1
    # One device measures gradient noise between passes, so it needs two of them.
    alone_CS = (devices_C1 == 1) & (wanted_CS > limits.init_batch_size + _HAIR)
    accum_CS = np.where(alone_CS, np.maximum(accum_CS, 1), accum_CS)
    local_CS = np.ceil(share_CS / (accum_CS + 1) - _HAIR).astype(int)
    local_CS = np.minimum(local_CS, limits.max_batch_size // (devices_C1 * (accum_CS + 1)))
    local_CS = np.where(runs_C[:, None], np.maximum(local_CS, least_C[:, None]), 0)
    return Batches(local_CS, accum_CS, devices_C1 * local_CS * (accum_CS + 1))
