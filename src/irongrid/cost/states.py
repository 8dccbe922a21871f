"""Weights, gradients and optimizer state of one device: counts, bytes and shards."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Column, Layout, Work
from irongrid.cost.memory_coefficients import MemoryCoefficients
from irongrid.cost.stages import Stage
from irongrid.domain.plan import PRECISIONS, ZERO
from irongrid.domain.training import OPTIMIZERS

Array = NDArray[np.float64]

_FULL_PRECISIONS = PRECISIONS.index("tf32")
_ZERO_1, _ZERO_2, _ZERO_3 = ZERO.index("1"), ZERO.index("2"), ZERO.index("3")
# Bytes of optimizer state per weight: momentum; two moments; two moments of one byte each
# (Dettmers et al., arXiv:2110.02861, 2021-10).
_MOMENT_BYTES = np.array(
    [{"sgd": 4.0, "adam": 8.0, "adam8bit": 2.0}[name] for name in OPTIMIZERS], dtype=np.float64
)


def is_half(precision: Column) -> NDArray[np.bool_]:
    """Whether matrix products run in 16 bits or fewer."""
    return np.asarray(precision) > _FULL_PRECISIONS


def element_bytes(precision: Column) -> Array:
    """Bytes of one activation. Products in 8 or 4 bits keep their inputs in 16."""
    return np.where(is_half(precision), 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Weights that one device computes with, before data-parallel sharding.

    Attributes:
        dense: attention, dense and shared feed-forward layers, norms, embedding, output layer.
        experts: routed experts.
        largest_block: of one block, experts and all: what FSDP gathers at once.
        ends: embedding and output layer, part of `dense`.
        adapters_dense, adapters_experts: weights of low-rank adapters.
    """

    dense: Array
    experts: Array
    largest_block: Array
    ends: Array
    adapters_dense: Array
    adapters_experts: Array


def expert_shards(layout: Layout) -> Array:
    """Devices that share a layer's experts: `ep` of them, or the tensor ranks where those are more.

    With fewer expert ranks than tensor ranks each expert is cut by what is left over.
    """
    return np.maximum(np.asarray(layout.ep, dtype=np.float64), layout.tp)


def attention_weights(work: Work) -> tuple[Array, Array]:
    """Weights of one block's attention, and the inputs and outputs of its matrices added up."""
    wide = work.head_dim + work.latent_rotary
    plain = work.hidden * work.head_dim * (2.0 * work.heads + 2.0 * work.kv_heads)
    plain_edges = 4.0 * work.hidden + work.head_dim * (2.0 * work.heads + 2.0 * work.kv_heads)
    compressed = np.asarray(work.latent_query) > 0
    query = np.where(
        compressed,
        work.latent_query * (work.hidden + 1.0 * work.heads * wide),
        work.hidden * 1.0 * work.heads * wide,
    )
    keys = work.hidden * (work.latent_kv + 1.0 * work.latent_rotary)
    keys += work.latent_kv * 1.0 * work.heads * (work.head_dim + work.latent_value)
    latent = query + keys + 1.0 * work.heads * work.latent_value * work.hidden
    latent_edges = (
        3.0 * work.hidden
        + 2.0 * (work.latent_query + work.latent_kv)
        + work.heads * (wide + work.head_dim + 2.0 * work.latent_value)
    )
    is_latent = np.asarray(work.latent_kv) > 0
    return np.where(is_latent, latent, plain), np.where(is_latent, latent_edges, plain_edges)


def _counts(work: Work, layout: Layout, stage: Stage) -> Counts:
    tp, hidden = layout.tp, 1.0 * np.asarray(work.hidden)
    matrices = 2.0 + np.asarray(work.gated)
    attention, attention_edges = attention_weights(work)
    # Norms and an adaptive norm's modulation; only norms are not cut by tensor ranks.
    common = (attention + 6.0 * work.conditioning * hidden) / tp + 2.0 * hidden
    ffn, shared = matrices * hidden * work.ffn / tp, matrices * hidden * work.shared_ffn / tp
    router = work.experts * hidden
    routed = work.experts * matrices * hidden * work.expert_ffn / expert_shards(layout)
    blocks = stage.dense_blocks + stage.expert_blocks
    tied_once = np.where(np.asarray(work.tied) > 0, stage.embeds * stage.heads, 0.0)
    tables = stage.embeds + stage.heads - tied_once
    ends = work.vocab * hidden * tables / tp + work.positions * hidden * stage.embeds
    rank = 1.0 * np.asarray(work.lora_rank)
    matrix_edges = matrices * rank * hidden
    return Counts(
        dense=blocks * common + stage.dense_blocks * ffn
        + stage.expert_blocks * (shared + router) + ends,
        experts=stage.expert_blocks * routed,
        largest_block=common + np.maximum(
            np.where(stage.dense_blocks > 0, ffn, 0.0),
            np.where(stage.expert_blocks > 0, shared + router + routed, 0.0),
        ),
        ends=ends,
        adapters_dense=(
            blocks * rank * attention_edges
            + stage.dense_blocks * (matrix_edges + matrices * rank * work.ffn)
            + stage.expert_blocks * (matrix_edges + matrices * rank * work.shared_ffn)
        ) / tp,
        adapters_experts=stage.expert_blocks * work.experts
        * (matrix_edges + matrices * rank * work.expert_ffn) / expert_shards(layout),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """Bytes of one device at one stage.

    Attributes:
        buffers: whole weights and gradients of the blocks in work, where weights are sharded.
        block_weights: weights of the largest block as they are kept.
    """

    weights: Array
    gradients: Array
    optimizer: Array
    buffers: Array
    block_weights: Array


def states(work: Work, layout: Layout, stage: Stage, coefficients: MemoryCoefficients) -> States:
    """Bytes of model states by precision, optimizer, what is trained and how it is sharded.

    ZeRO stage 1 shards the optimizer over data-parallel and context ranks, 2 gradients too, 3 and
    FSDP also weights. Experts have their own, smaller groups: ranks over which they are spread
    already do not shard them again. A copy per `dp_replicate` group is never shared. With a
    pipeline, FSDP keeps a stage's weights gathered between micro-batches, as gathering them for
    each would cost more than the pipeline saves (torchtitan's default, 2024-10).

    Sources: Rajbhandari et al., arXiv:1910.02054, section 5 (2019-10); Megatron-LM's distributed
    optimizer (docs, 2026-11): 6 + 12/d bytes per weight.
    """
    counts = _counts(work, layout, stage)
    half = is_half(work.precision)
    two_copies = half & (coefficients.of_software("half_weights", work.runtime) > 0)
    adapters = np.asarray(work.lora_rank) > 0
    full_share = np.where(adapters, 0.0, 1.0 - np.asarray(work.frozen_share, dtype=np.float64))
    # What is never trained needs no master copy; adapters make the whole base such.
    weight_bytes = np.where(two_copies | (adapters & half), 2.0, 4.0)
    master_bytes = np.where(two_copies, 4.0, 0.0)
    gradient_bytes = np.where(half, coefficients.of_software("gradient_bytes", work.runtime), 4.0)
    moment_bytes = _MOMENT_BYTES[np.asarray(work.optimizer, dtype=np.int64)]

    zero = np.asarray(layout.zero)
    ranks = np.asarray(layout.dp_shard, dtype=np.float64) * layout.cp
    expert_ranks = np.maximum(ranks * layout.tp / expert_shards(layout), 1.0)

    def spread(per_weight: Array, trained_only: bool, sharded: NDArray[np.bool_]) -> Array:
        dense, experts = counts.dense, counts.experts
        if trained_only:
            dense = dense * full_share + np.where(adapters, counts.adapters_dense, 0.0)
            experts = experts * full_share + np.where(adapters, counts.adapters_experts, 0.0)
        shards = np.where(sharded, ranks, 1.0)
        return per_weight * (dense / shards + experts / np.where(sharded, expert_ranks, 1.0))

    return States(
        weights=spread(weight_bytes, False, zero >= _ZERO_3),
        gradients=spread(gradient_bytes, True, zero >= _ZERO_2),
        optimizer=spread(master_bytes + moment_bytes, True, zero >= _ZERO_1),
        buffers=_gathered(work, layout, counts, full_share, coefficients),
        block_weights=weight_bytes * counts.largest_block,
    )


def _gathered(
    work: Work, layout: Layout, counts: Counts, full_share: Array, coefficients: MemoryCoefficients
) -> Array:
    """Bytes of whole weights and of one block's whole gradient, where weights are sharded."""
    element = element_bytes(work.precision)
    blocks = coefficients.gathered_blocks * counts.largest_block + counts.ends
    whole = counts.dense + counts.experts
    weights = np.where(np.asarray(layout.pp) > 1, whole, np.minimum(blocks, whole))
    trained = np.where(full_share > 0, 1.0, 0.0)
    gradient = trained * np.maximum(counts.largest_block, counts.ends)
    sharded = (np.asarray(layout.zero) >= _ZERO_3) & (
        np.asarray(layout.dp_shard) * np.asarray(layout.cp) > 1
    )
    return np.where(sharded, element * (weights + gradient), 0.0)
