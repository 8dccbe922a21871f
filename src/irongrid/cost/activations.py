"""Activations that one block keeps for its backward pass, and the logits of the last one.

Bytes per micro-batch on one device. The textbook count for a GPT block is `s b h (34 + 5 a s / h)`
in 16 bits (Korthikanti et al., arXiv:2205.05198, section 4, 2022-05); here it is built from its
tensors, so that gated, grouped, latent and expert blocks have theirs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Layout, Machine, Work
from irongrid.cost.memory_coefficients import MemoryCoefficients
from irongrid.cost.states import element_bytes
from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.plan import RECOMPUTE

Array = NDArray[np.float64]

_SELECTIVE, _FULL = RECOMPUTE.index("selective"), RECOMPUTE.index("full")
# Fused attention needs tensor cores of the Ampere generation (Dao, arXiv:2205.14135, repository
# README, 2026-11).
_UNFUSED_GENERATIONS = (GENERATIONS.index("volta"), GENERATIONS.index("turing"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockActivations:
    """Bytes of one block and one micro-batch.

    Attributes:
        kept_dense, kept_experts: until the backward pass, by kind of block.
        working_dense, working_experts: besides, while the block's own backward pass runs.
        entry: the block's input alone.
    """

    kept_dense: Array
    kept_experts: Array
    working_dense: Array
    working_experts: Array
    entry: Array


def tokens_per_device(work: Work, layout: Layout) -> Array:
    """Tokens of one micro-batch after context parallelism."""
    return 1.0 * np.asarray(layout.micro_batch) * work.seq_len / layout.cp


def _attention_bytes(work: Work, element: Array) -> Array:
    """Queries, keys, values and output of one token, over all heads."""
    is_latent = np.asarray(work.latent_kv) > 0
    plain = work.head_dim * (2.0 * work.heads + 2.0 * work.kv_heads)
    wide = work.head_dim + work.latent_rotary
    latent = work.heads * (2.0 * wide + 2.0 * work.latent_value)
    return element * np.where(is_latent, latent, plain)


def _score_bytes(work: Work, element: Array, dropout: Array) -> Array:
    """Softmax output, dropout's mask and output of one token's scores, over all heads."""
    seen = np.where(np.asarray(work.windowed_layers) >= work.layers, work.window, work.seq_len)
    return work.heads * 1.0 * seen * (element + dropout * (1.0 + element))


def block_activations(
    work: Work, machine: Machine, layout: Layout, coefficients: MemoryCoefficients
) -> BlockActivations:
    """What a block keeps with the plan's recompute, and what its backward pass adds.

    Blocks with two feed-forward matrices train with dropout, as GPT does, unless the software's
    recipes do not; gated ones without. Without sequence parallelism every tensor rank keeps the
    norms' and matrices' inputs. Selective recompute repeats attention's scores, and with fused
    attention a share of the rest; full recompute keeps the block's input. A share of blocks may be
    recomputed.
    """
    element, hidden = element_bytes(work.precision), 1.0 * np.asarray(work.hidden)
    tokens, tp = tokens_per_device(work, layout), layout.tp
    across = np.where(np.asarray(layout.sequence_parallel) > 0, 1.0 * np.asarray(tp), 1.0)
    dropout = (1.0 - np.asarray(work.gated)) * coefficients.of_software("dropout", work.runtime)
    inner = 2.0 + np.asarray(work.gated)
    kept_share = coefficients.of_software("kept_share", work.runtime)
    fused = (coefficients.of_software("fused_attention", work.runtime) > 0) & ~np.isin(
        machine.generation, _UNFUSED_GENERATIONS
    )
    scores = np.where(fused, 4.0 * work.heads, _score_bytes(work, element, dropout)) / tp

    # Two norms' inputs, the two layers' inputs, dropout's two masks.
    shared = hidden * (4.0 * element + 2.0 * dropout) / across
    narrow = element * (work.latent_query + 1.0 * work.latent_kv) / across
    attention = _attention_bytes(work, element) / tp + narrow
    dense = element * inner * work.ffn / tp
    picked = coefficients.expert_imbalance * np.asarray(work.top_k, dtype=np.float64)
    mixture = element * inner * work.shared_ffn / tp
    mixture = mixture + element * picked * (2.0 * hidden + inner * work.expert_ffn) / tp
    mixture = mixture + 4.0 * work.experts / across

    linear_dense = kept_share * (shared + attention + dense)
    linear_mixture = kept_share * (shared + attention + mixture)
    entry = element * hidden / across
    gathered = np.where(across > 1, coefficients.gathered_inputs * element * hidden, 0.0)
    selective = coefficients.of_software("selective_share", work.runtime)
    return BlockActivations(
        **{
            f"{use}_{kind}": tokens * (figure + (gathered if use == "working" else 0.0))
            for kind, linear in (("dense", linear_dense), ("experts", linear_mixture))
            for use, figure in _recomputed(layout, linear, scores, entry, selective, coefficients)
        },
        entry=tokens * entry,
    )


def _recomputed(
    layout: Layout,
    linear: Array,
    scores: Array,
    entry: Array,
    selective: Array,
    coefficients: MemoryCoefficients,
) -> tuple[tuple[str, Array], tuple[str, Array]]:
    mode = np.asarray(layout.recompute)
    whole = linear + scores
    reduced = np.select(
        [mode == _SELECTIVE, mode == _FULL], [selective * linear, entry], default=whole
    )
    share = np.asarray(layout.recompute_share, dtype=np.float64)
    kept = share * reduced + (1.0 - share) * whole
    again = np.where(share > 0, whole - reduced, 0.0)
    return ("kept", kept), ("working", again + coefficients.working_share * linear)


def logits_bytes(work: Work, layout: Layout, coefficients: MemoryCoefficients) -> Array:
    """Bytes of one micro-batch's logits at the peak."""
    per_logit = coefficients.of_software("logit_bytes", work.runtime)
    cut = coefficients.of_software("cut_logits", work.runtime) > 0
    vocab = work.vocab / np.where(cut, 1.0 * np.asarray(layout.tp), 1.0)
    return tokens_per_device(work, layout) * vocab * per_logit
