"""How much a batch advances training: gradient statistics by epoch, and where epochs end.

Source: Qiao et al., "Pollux", OSDI 2021: progress counts iterations at the initial batch size, and
a batch `s` times as large advances by `(var + sqr) / (var / s + sqr)` of them.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """One epoch at one batch size: squared gradient norm, its variance, and the progress so far."""

    grad_sqr: float
    grad_var: float
    progress: float


class Statistics:
    """Measured gradient statistics of one application."""

    def __init__(self, init_batch_size: int, by_batch: Mapping[int, Sequence[Measured]]) -> None:
        """
        Args:
            init_batch_size: the batch that progress is counted in.
            by_batch: measurements by batch size, one per epoch.
        """
        self._init_batch_size = init_batch_size
        self._by_batch = by_batch
        self._batches = sorted(by_batch)
        epochs = min(len(rows) for rows in by_batch.values())
        self._ends = [min(rows[e].progress for rows in by_batch.values()) for e in range(epochs)]

    def epoch_end(self, epoch: int) -> float:
        """Progress at which an epoch ends: the smallest over all batch sizes."""
        return self._ends[epoch]

    def gradient(self, batch_size: int, epoch: int) -> tuple[float, float]:
        """grad_sqr and grad_var, linear between the two enclosing validated batch sizes."""
        batches = self._batches
        at = bisect_left(batches, batch_size)
        if at < len(batches) and batches[at] == batch_size:
            exact = self._by_batch[batch_size][epoch]
            return exact.grad_sqr, exact.grad_var
        at = min(max(at, 1), len(batches) - 1)
        low, high = batches[at - 1], batches[at]
        share = (batch_size - low) / (high - low)
        one, other = self._by_batch[low][epoch], self._by_batch[high][epoch]
        return (
            one.grad_sqr + share * (other.grad_sqr - one.grad_sqr),
            one.grad_var + share * (other.grad_var - one.grad_var),
        )

    def gain(self, batch_size: int, epoch: int) -> float:
        """Progress of one iteration at this batch size."""
        grad_sqr, grad_var = self.gradient(batch_size, epoch)
        scale = batch_size / self._init_batch_size
        return (grad_var + grad_sqr) / (grad_var / scale + grad_sqr)
