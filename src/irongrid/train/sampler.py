"""Which window of the token stream each step trains on.

The order is a function of the seed and the sample's running number alone, so a resumed run, on
however many ranks, goes on exactly where the last one stopped: each sample once per pass.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irongrid.domain.plan import ParallelPlan

Indices = NDArray[np.uint64]

_ROUNDS = 6
# Multipliers of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
# OOPSLA 2014), here as the round function of the network.
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def shuffled(indices: Indices, size: int, key: str) -> Indices:
    """Where a pseudo-random permutation of `range(size)` takes these indices.

    A Feistel network over the next power of four, walked until the value falls inside. It needs no
    table: the order of 10**12 samples costs no memory.
    """
    half_bits = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    digest = hashlib.blake2b(key.encode(), digest_size=8 * _ROUNDS).digest()
    round_keys = np.frombuffer(digest, dtype=np.uint64)
    out = _feistel(indices.astype(np.uint64), half_bits, round_keys)
    outside = out >= size
    while outside.any():
        out[outside] = _feistel(out[outside], half_bits, round_keys)
        outside = out >= size
    return out


def _feistel(values: Indices, half_bits: np.uint64, round_keys: Indices) -> Indices:
    mask = (np.uint64(1) << half_bits) - np.uint64(1)
    left, right = values >> half_bits, values & mask
    for round_key in round_keys:
        mixed = (right ^ round_key) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(31))) * _MIX_2
        left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
    return (left << half_bits) | right


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOrder:
    """The windows of a token stream, some held out and the others in a new order for each pass.

    Attributes:
        windows: samples in the stream; window i starts at token `i * seq_len`.
        held_out: how many of them are never trained on, spread over the whole stream.
    """

    windows: int
    held_out: int
    seed: int

    @property
    def per_pass(self) -> int:
        """Samples of one pass over the training part."""
        return self.windows - self.held_out

    def held_out_windows(self, count: int) -> Indices:
        """The first `count` held-out windows, the same ones each time."""
        first = np.arange(min(count, self.held_out), dtype=np.uint64)
        return shuffled(first, self.windows, self._split_key)

    def training_windows(self, samples: Indices) -> Indices:
        """The windows behind running sample numbers, which count up without end."""
        passes, within = np.divmod(samples.astype(np.uint64), np.uint64(self.per_pass))
        chosen = np.empty_like(within)
        for one_pass in np.unique(passes):
            here = passes == one_pass
            chosen[here] = shuffled(within[here], self.per_pass, f"{self.seed}/pass/{one_pass}")
        return shuffled(chosen + np.uint64(self.held_out), self.windows, self._split_key)

    @property
    def _split_key(self) -> str:
        return f"{self.seed}/split"


def samples_of(plan: ParallelPlan, step: int, rank: int, micro_step: int) -> Indices:
    """Running sample numbers of one rank's micro-batch in step `step` (0 is the first)."""
    first = step * plan.global_batch + (micro_step * plan.world_size + rank) * plan.micro_batch
    return np.arange(first, first + plan.micro_batch, dtype=np.uint64)
