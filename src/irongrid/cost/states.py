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
class BlockWeights:
    """Weights that one device computes with, before data-parallel sharding, by kind.

    Attributes:
        common: of any block: attention, norms, conditioning.
        ffn: besides, of a dense block; `mixture` of one with experts (shared experts and router).
        routed: of a block's routed experts.
        table: one embedding or output layer.
        positions: learned positions, with the embedding.
    """

    common: Array
    ffn: Array
    mixture: Array
    routed: Array
    table: Array
    positions: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRules:
    """All that model states need to know of a plan, apart from the stage.

    Attributes:
        blocks, adapters: weights of the base, and of low-rank adapters beside it.
        *_bytes: of one weight on one device, by how it is shared: dense ones, and experts.
        full_share: share of the base that is trained.
        tied: whether embedding and output layer are one table where a stage has both.
        gathered_bytes: of one weight that FSDP holds whole; 0 where weights are not sharded.
        weight_bytes: of one weight at rest.
        staged: whether there is a pipeline.
        gathered_blocks: blocks that are held whole at once.
    """

    blocks: BlockWeights
    adapters: BlockWeights
    weights_bytes: tuple[Array, Array]
    gradients_bytes: tuple[Array, Array]
    optimizer_bytes: tuple[Array, Array]
    full_share: Array
    tied: NDArray[np.bool_]
    gathered_bytes: Array
    weight_bytes: Array
    staged: NDArray[np.bool_]
    gathered_blocks: Array


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


def _block_weights(work: Work, layout: Layout) -> tuple[BlockWeights, BlockWeights]:
    """Weights of the base and of its adapters; an adapter adds rank x (inputs + outputs)."""
    tp, hidden = layout.tp, 1.0 * np.asarray(work.hidden)
    matrices, shards = 2.0 + np.asarray(work.gated), expert_shards(layout)
    attention, edges = attention_weights(work)
    rank, experts = 1.0 * np.asarray(work.lora_rank), 1.0 * np.asarray(work.experts)
    nothing = np.zeros(())
    base = BlockWeights(
        # Norms are not cut by tensor ranks.
        common=(attention + 6.0 * work.conditioning * hidden) / tp + 2.0 * hidden,
        ffn=matrices * hidden * work.ffn / tp,
        mixture=matrices * hidden * work.shared_ffn / tp + experts * hidden,
        routed=experts * matrices * hidden * work.expert_ffn / shards,
        table=work.vocab * hidden / tp,
        positions=work.positions * hidden,
    )
    each = matrices * rank
    shared = np.where(np.asarray(work.shared_ffn) > 0, each * (hidden + work.shared_ffn), 0.0)
    adapters = BlockWeights(
        common=rank * edges / tp,
        ffn=each * (hidden + work.ffn) / tp,
        mixture=shared / tp,
        routed=experts * each * (hidden + work.expert_ffn) / shards,
        table=nothing,
        positions=nothing,
    )
    return base, adapters


def state_rules(work: Work, layout: Layout, coefficients: MemoryCoefficients) -> StateRules:
    """Bytes per weight by precision, optimizer, what is trained and how it is sharded.

    ZeRO stage 1 shards the optimizer over data-parallel and context ranks, 2 gradients too, 3 and
    FSDP also weights. Experts have their own, smaller groups: ranks over which they are spread
    already do not shard them again. A copy per `dp_replicate` group is never shared.

    Sources: Rajbhandari et al., arXiv:1910.02054, section 5 (2019-10); Megatron-LM's distributed
    optimizer (docs, 2026-11): 6 + 12/d bytes per weight.
    """
    base, adapters = _block_weights(work, layout)
    half = is_half(work.precision)
    two_copies = half & (coefficients.of_software("half_weights", work.runtime) > 0)
    adapted = np.asarray(work.lora_rank) > 0
    # What is never trained needs no master copy; adapters make the whole base such.
    weight = np.where(two_copies | (adapted & half), 2.0, 4.0)
    gradient = np.where(half, coefficients.of_software("gradient_bytes", work.runtime), 4.0)
    moments = _MOMENT_BYTES[np.asarray(work.optimizer, dtype=np.int64)]
    optimizer = np.where(two_copies, 4.0, 0.0) + moments

    zero = np.asarray(layout.zero)
    ranks = np.asarray(layout.dp_shard, dtype=np.float64) * layout.cp
    expert_ranks = np.maximum(ranks * layout.tp / expert_shards(layout), 1.0)

    def shared(each: Array, least: int) -> tuple[Array, Array]:
        sharded = zero >= least
        return each / np.where(sharded, ranks, 1.0), each / np.where(sharded, expert_ranks, 1.0)

    gathers = (zero >= _ZERO_3) & (ranks > 1)
    return StateRules(
        blocks=base,
        adapters=adapters,
        weights_bytes=shared(weight, _ZERO_3),
        gradients_bytes=shared(gradient, _ZERO_2),
        optimizer_bytes=shared(optimizer, _ZERO_1),
        full_share=np.where(adapted, 0.0, 1.0 - np.asarray(work.frozen_share, dtype=np.float64)),
        tied=np.asarray(work.tied) > 0,
        gathered_bytes=np.where(gathers, element_bytes(work.precision), 0.0),
        weight_bytes=weight,
        staged=np.asarray(layout.pp) > 1,
        gathered_blocks=coefficients.of_software("gathered_blocks", work.runtime),
    )


def _dense(blocks: BlockWeights, stage: Stage, ends: Array) -> Array:
    count = stage.dense_blocks + stage.expert_blocks
    return (
        count * blocks.common
        + stage.dense_blocks * blocks.ffn
        + stage.expert_blocks * blocks.mixture
        + ends
    )


def states(rules: StateRules, stage: Stage) -> States:
    """Bytes of model states of one stage.

    With a pipeline, FSDP keeps a stage's weights gathered between micro-batches, as gathering them
    for each would cost more than the pipeline saves (torchtitan's default, 2024-10).
    """
    base = rules.blocks
    tables = stage.embeds + stage.heads - np.where(rules.tied, stage.embeds * stage.heads, 0.0)
    ends = base.table * tables + base.positions * stage.embeds
    dense, experts = _dense(base, stage, ends), stage.expert_blocks * base.routed
    trained_dense = dense * rules.full_share + _dense(rules.adapters, stage, rules.adapters.table)
    trained_experts = experts * rules.full_share + stage.expert_blocks * rules.adapters.routed
    largest = base.common + np.maximum(
        np.where(stage.dense_blocks > 0, base.ffn, 0.0),
        np.where(stage.expert_blocks > 0, base.mixture + base.routed, 0.0),
    )
    whole = dense + experts
    near = np.where(rules.staged, whole, np.minimum(rules.gathered_blocks * largest + ends, whole))
    held = np.minimum(rules.gathered_blocks, 1.0) * np.maximum(largest, ends)
    gradient = np.where(rules.full_share > 0, held, 0.0)
    return States(
        weights=rules.weights_bytes[0] * dense + rules.weights_bytes[1] * experts,
        gradients=rules.gradients_bytes[0] * trained_dense
        + rules.gradients_bytes[1] * trained_experts,
        optimizer=rules.optimizer_bytes[0] * trained_dense
        + rules.optimizer_bytes[1] * trained_experts,
        buffers=rules.gathered_bytes * (near + gradient),
        block_weights=rules.weight_bytes * largest,
    )
