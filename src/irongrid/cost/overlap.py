"""What communication costs when compute hides some of it, by parallel axis.

Tensor parallelism: two all-reduces a block and pass, or their halves with sequence parallelism.
Context parallelism: keys and values go round a ring beside attention (Liu et al.,
arXiv:2310.01889), or heads are exchanged (Jacobs et al., arXiv:2309.14509). Experts: tokens go
there and back. Data parallelism: gradients once a step, or FSDP's gathers for each micro-batch
(Rajbhandari et al., arXiv:1910.02054; Zhao et al., arXiv:2304.11277).
"""

from dataclasses import dataclass

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.collectives import all_to_all_s, half_ring_s, reach_of
from irongrid.cost.columns import Column, Layout, Machine, Work
from irongrid.cost.flops import attention_weights, dense_weights
from irongrid.cost.words import is_one_of, look_up
from irongrid.domain.plan import COMPRESSIONS, CONTEXT_KINDS, PRECISIONS, ZERO

# Bytes of a gradient on the wire for each byte of fp32; PowerSGD and top-k at their papers' usual
# ratios (arXiv:1905.13727 rank 4; arXiv:1712.01887), none as bf16 sums.
_COMPRESSED = {
    "none": 1.0,
    "bf16": 0.5,
    "int8": 0.25,
    "int4": 0.125,
    "powersgd": 0.02,
    "topk": 0.02,
}


def tensor_s(work: Work, machine: Machine, layout: Layout, c: Coefficients) -> Column:
    """Exposed seconds of one block's forward pass; a backward pass costs the same."""
    tokens = layout.micro_batch * np.asarray(work.seq_len, float) / layout.cp
    reach = reach_of(machine, layout.tp, 1)
    one = half_ring_s(2.0 * tokens * work.hidden, reach, machine, c)
    return 4.0 * one * look_up(c.tp_exposed, work.runtime)


def context_s(
    work: Work, machine: Machine, layout: Layout, attention_s: Column, c: Coefficients
) -> Column:
    """Exposed seconds of one block's forward pass; a backward pass costs twice that."""
    tokens = layout.micro_batch * np.asarray(work.seq_len, float) / layout.cp
    reach = reach_of(machine, layout.cp, layout.tp)
    latent = np.asarray(work.latent_kv) > 0
    pair = np.where(latent, 2.0 * work.heads, 2.0 * work.kv_heads) * work.head_dim / layout.tp
    ring = half_ring_s(2.0 * tokens * layout.cp * pair, reach, machine, c)
    hidden = np.maximum(ring - c.cp_hidden * attention_s, 0.0)
    ring = c.cp_exposed * ring + hidden
    heads = work.head_dim * (2.0 * work.heads + 2.0 * work.kv_heads) / layout.tp
    swap = all_to_all_s(2.0 * tokens * heads, 1.0, reach, machine, c)
    ulysses = is_one_of(CONTEXT_KINDS, ("ulysses",), layout.context) > 0
    return np.where(np.asarray(layout.cp) > 1, np.where(ulysses, swap, ring), 0.0)


def expert_s(work: Work, machine: Machine, layout: Layout, c: Coefficients) -> Column:
    """Exposed seconds of one expert block's forward pass; a backward pass costs the same.

    With group-limited routing a token reaches at most `groups_per_token` groups of experts.
    """
    if not np.any(np.asarray(layout.ep) > 1):
        return 0.0
    tokens = layout.micro_batch * np.asarray(work.seq_len, float) / layout.cp / layout.tp
    reach = reach_of(machine, layout.ep, 1)
    copies = np.where(
        np.asarray(work.expert_groups) > 1, work.groups_per_token, np.maximum(work.top_k, 1)
    )
    narrow = is_one_of(PRECISIONS, ("fp8", "mxfp8", "nvfp4"), work.precision)
    sent = tokens * work.top_k * work.hidden * 2.0
    there = all_to_all_s(sent * (1 - 0.5 * narrow), copies, reach, machine, c)
    back = all_to_all_s(sent, copies, reach, machine, c)
    return (there + back) * look_up(c.expert_exposed, work.runtime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights that one rank's stage holds before data parallelism shards them, by kind."""

    dense: Column
    expert: Column


def stage_weights(work: Work, layout: Layout) -> Weights:
    """Weights of the fullest stage on one rank."""
    deep = np.asarray(layout.pp, float)
    blocks = work.layers / deep
    expert_blocks = np.asarray(work.expert_layers) / deep
    shared = (2 + work.gated) * work.hidden * np.asarray(work.shared_ffn) + (
        work.hidden * np.asarray(work.experts)
    )
    dense = blocks * np.asarray(attention_weights(work))
    dense = dense + (blocks - expert_blocks) * dense_weights(work) + expert_blocks * shared
    table = np.asarray(work.vocab, float) * work.hidden
    dense = dense + np.where(deep > 1, 1.0, 2.0 - np.asarray(work.tied)) * table
    routed = (2 + work.gated) * work.hidden * np.asarray(work.expert_ffn) * work.experts
    return Weights(dense=dense / layout.tp, expert=expert_blocks * routed / layout.ep)


def _trained(work: Work) -> Column:
    """Share of the weights that have gradients; adapters are a hundredth at rank 16."""
    adapters = np.asarray(work.lora_rank, float) * 4 / work.hidden
    return np.where(np.asarray(work.lora_rank) > 0, adapters, 1.0) * (1 - work.frozen_share)


def _sync_s(share: Column, work: Work, machine: Machine, layout: Layout, c: Coefficients) -> Column:
    """Seconds to reduce-scatter or all-gather the stage's weights over the data-parallel ranks.

    Args:
        share: bytes per weight.
    """
    weights = stage_weights(work, layout)
    inner = np.asarray(layout.tp) * layout.cp
    ranks = np.asarray(layout.dp_shard, float) * layout.dp_replicate
    dense = half_ring_s(
        share * weights.dense, reach_of(machine, ranks * layout.cp, layout.tp), machine, c
    )
    others = np.maximum(ranks * inner / layout.ep, 1.0)
    expert = half_ring_s(share * weights.expert, reach_of(machine, others, layout.ep), machine, c)
    return dense + expert


def gradient_s(work: Work, machine: Machine, layout: Layout, c: Coefficients) -> Column:
    """Exposed seconds of exchanging gradients once a step, where weights are not sharded."""
    ratio = np.array([_COMPRESSED[word] for word in COMPRESSIONS])
    bytes_each = 4.0 * look_up(ratio, layout.compression) + 2.0
    sync = _sync_s(bytes_each, work, machine, layout, c)
    return sync * _trained(work) * c.dp_exposed


def shard_s(
    work: Work, machine: Machine, layout: Layout, compute_s: Column, c: Coefficients
) -> Column:
    """Exposed seconds of FSDP's traffic for one micro-batch of all layers of a stage.

    Two gathers and a scatter; with a pipeline the weights stay gathered for the step.

    Args:
        compute_s: of the same micro-batch.
    """
    once = _sync_s(2.0, work, machine, layout, c)
    traffic = (2.0 + _trained(work)) * once
    shown = look_up(c.shard_exposed, work.runtime) * traffic
    return shown + np.maximum(traffic - c.shard_hidden * compute_s, 0.0)


def is_fully_sharded(layout: Layout) -> Column:
    """1 where weights themselves are sharded over data-parallel ranks."""
    return is_one_of(ZERO, ("3", "fsdp"), layout.zero) * (np.asarray(layout.dp_shard) > 1)
