"""What peak memory depends on beside arithmetic: facts of the software, and fitted figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareMemory:
    """How one piece of training software uses memory.

    Attributes:
        half_weights: 1 where weights are kept in the half precision of the products beside a
            master copy of 4 bytes (Megatron, DeepSpeed); 0 where they are kept at 4 bytes and cast
            when they are gathered (torch FSDP, JAX).
        gradient_bytes: of one gradient in mixed precision.
        fused_attention: 1 where attention never writes its scores to memory.
        dropout: 1 where models without gated feed-forward layers are trained with dropout.
        gathered_blocks: blocks whose weights are held whole at once where weights are sharded;
            below 1 where modules are gathered one by one.
        selective_share: what selective recompute keeps of a block's activations, scores apart.
        kept_share: activations kept over the textbook's, for copies that eager code keeps or that
            a compiler saves.
        logit_bytes: of one logit at the peak, with its gradient and copies.
        cut_logits: 1 where each tensor rank computes the loss of its part of the vocabulary; 0
            where the logits are gathered first.
        fixed_bytes: device memory that no model explains: context, communicators, buckets;
            on a device of 80 GB.
        known: 1 where measured runs of this software were fitted.
    """

    half_weights: float
    gradient_bytes: float
    fused_attention: float
    dropout: float
    gathered_blocks: float
    selective_share: float
    kept_share: float
    logit_bytes: float
    cut_logits: float
    fixed_bytes: float
    known: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCoefficients:
    """Figures of `catalog/memory.json`; `validation/memory_fit.py` writes the fitted ones.

    Attributes:
        software: one entry per behaviour, in the order of the codes in `Work.runtime`.
        working_share: of one block's activations that its backward pass holds besides.
        gathered_inputs: whole-sequence copies of a block's input that its tensor ranks hold while
            it runs, where sequence parallelism cuts what is kept.
        expert_imbalance: tokens of the fullest expert rank over the mean.
        waiting_chunks: chunks that the interleaved schedule holds beyond its warm-up.
        fragmentation: bytes that the allocator holds over what it hands out, per byte of
            activations and buffers.
        headroom_*: how far p95 lies over p50, relative to a part; parts add as variances.
        novelty: factor on the headroom for what no fitted run had, such as experts.
    """

    software: tuple[SoftwareMemory, ...]
    working_share: float
    gathered_inputs: float
    expert_imbalance: float
    waiting_chunks: float
    fragmentation: float
    headroom_states: float
    headroom_activations: float
    headroom_buffers: float
    headroom_context: float
    novelty: float

    @classmethod
    def from_json(
        cls, document: Mapping[str, Any], behaviours: Sequence[str]
    ) -> "MemoryCoefficients":
        """Read the file's object; software that it does not name gets what `*` says."""
        table = document["software"]
        software = tuple(
            SoftwareMemory(**{**table["*"], **table.get(name, {})}) for name in behaviours
        )
        return cls(software=software, **document["shared"])

    def of_software(self, field: str, runtime: Column) -> NDArray[np.float64]:
        """A column of one of `SoftwareMemory`'s fields by the runtime's code."""
        values = np.array([getattr(entry, field) for entry in self.software], dtype=np.float64)
        picked: NDArray[np.float64] = values[np.asarray(runtime, dtype=np.int64)]
        return picked
