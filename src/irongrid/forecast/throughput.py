"""How long an optimizer step takes on sizes that a job has not run on: a model of seven parameters.

Compute is linear in samples per rank. Synchronisation is a constant and a part that grows with the
ranks, apart for gangs on one node and on several. The two overlap in part: a power mean with an
exponent from 1 (none) upwards. Source: Qiao et al., "Pollux", OSDI 2021, section 3.2. It differs
from theirs in the fit, which is a maximum a posteriori with broad priors in place of bounds, so
that one measurement is enough to begin with, and in that one device type's model is the prior of
the next one's, scaled by the types' data-sheet speeds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Parameters, all of them logarithms (P): compute time at the reference batch; share of it that does
# not depend on the batch; first synchronisation on one node over compute, its growth per rank; the
# same on several nodes; exponent of the overlap, less 1.
COMPUTE, FIXED, LOCAL, LOCAL_GROWTH, WIDE, WIDE_GROWTH, OVERLAP = range(7)
# Broad guesses: synchronisation costs a tenth of a step within a node and a third across nodes.
_MEAN_P = np.log([1.0, 0.3, 0.1, 0.03, 0.3, 0.03, 1.0])
_SPREAD_P = np.array([4.0, 1.2, 1.0, 1.0, 1.0, 1.0, 0.7])
# What is known of a type from another one.
_NEXT_SPREAD_P = np.array([0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.5])
_NOISE = 0.03
_FIT_ROUNDS = 25


@dataclass(frozen=True, slots=True)
class Seen:
    """One measured step: where, with how many samples per rank, and how long.

    Attributes:
        compute_s: the part of `step_s` that is not synchronisation.
    """

    nodes: int
    ranks: int
    local_bsz: int
    step_s: float
    compute_s: float


@dataclass(frozen=True, slots=True)
class StepModel:
    """Step times of one application on one device type.

    Attributes:
        log_P: the parameters.
        reference: samples per rank at which compute time is a parameter.
    """

    log_P: np.ndarray
    reference: float

    def times(
        self, nodes: np.ndarray, ranks: np.ndarray, local_bsz: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of a step, and of its compute; arrays of any shapes that go together."""
        step, compute = _times(
            self.log_P[:, None],
            self.reference,
            *map(np.ravel, np.broadcast_arrays(nodes, ranks, local_bsz)),
        )
        shape = np.broadcast_shapes(np.shape(nodes), np.shape(ranks), np.shape(local_bsz))
        return step.reshape(shape), compute.reshape(shape)

    def on(self, reference: float, speed_ratio: float) -> "StepModel":
        """What this says of a device type that is so much faster.

        Devices of a faster type also meet faster within a node; the network between nodes is the
        same for all.
        """
        _, compute = self.times(np.array([1]), np.array([1]), np.array([reference]))
        log_P = self.log_P.copy()
        log_P[COMPUTE] = np.log(compute[0] / speed_ratio)
        log_P[FIXED] += np.log(self.reference / reference)
        log_P[WIDE] += self.log_P[COMPUTE] - log_P[COMPUTE]
        return StepModel(log_P, reference)


def fit(seen: list[Seen], reference: float, like: StepModel | None) -> StepModel:
    """The most likely model behind measurements.

    Args:
        like: what another device type suggests; None where there is none.
    """
    nodes = np.array([each.nodes for each in seen])
    ranks = np.array([each.ranks for each in seen])
    local_bsz = np.array([each.local_bsz for each in seen])
    target = np.log([[each.step_s for each in seen], [each.compute_s for each in seen]]).ravel()
    if like is None:
        mean_P, spread_P = _MEAN_P.copy(), _SPREAD_P
        mean_P[COMPUTE] = np.log(np.median([each.compute_s for each in seen]))
    else:
        mean_P, spread_P = like.log_P, _NEXT_SPREAD_P

    def residuals(log_PX: np.ndarray) -> np.ndarray:
        """Rows of residuals, one column per set of parameters."""
        step, compute = _times(log_PX[:, :, None], reference, nodes, ranks, local_bsz)
        misses = np.log(np.concatenate([step, compute], axis=1)).T - target[:, None]
        away = (log_PX - mean_P[:, None]) / spread_P[:, None]
        return np.concatenate([misses / _NOISE, away])

    return StepModel(_least_squares(residuals, mean_P), reference)


def _least_squares(residuals: Callable[[np.ndarray], np.ndarray], log_P: np.ndarray) -> np.ndarray:
    """Levenberg and Marquardt's method with differences as derivatives."""
    width = 1e-4
    damping = 1e-2
    found = residuals(log_P[:, None])[:, 0]
    for _ in range(_FIT_ROUNDS):
        around = residuals(log_P[:, None] + width * np.eye(len(log_P)))
        slope = (around - found[:, None]) / width
        square = slope.T @ slope
        down = slope.T @ found
        step = np.linalg.solve(square + damping * np.diag(np.diag(square)), -down)
        step = np.clip(step, -2.0, 2.0)
        tried = residuals((log_P + step)[:, None])[:, 0]
        if tried @ tried < found @ found:
            small = np.abs(step).max() < 1e-3
            log_P, found, damping = log_P + step, tried, damping / 5
            if small:
                break
        else:
            damping *= 8
            if damping > 1e6:
                break
    return log_P


def _times(
    log_P: np.ndarray, reference: float, nodes: np.ndarray, ranks: np.ndarray, local_bsz: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    compute_ref, fixed = np.exp(log_P[COMPUTE]), np.exp(log_P[FIXED])
    compute = compute_ref * (fixed + local_bsz / reference) / (fixed + 1)
    more = np.maximum(ranks - 2, 0)
    local = np.exp(log_P[LOCAL]) * (1 + np.exp(log_P[LOCAL_GROWTH]) * more)
    wide = np.exp(log_P[WIDE]) * (1 + np.exp(log_P[WIDE_GROWTH]) * more)
    sync = compute_ref * np.where(nodes > 1, wide, local)
    overlap = 1 + np.exp(log_P[OVERLAP])
    # The larger part is taken out, so that powers stay in range.
    most = np.maximum(compute, sync)
    both = most * ((compute / most) ** overlap + (sync / most) ** overlap) ** (1 / overlap)
    return np.where(ranks > 1, both, compute), compute
