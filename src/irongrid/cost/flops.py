"""Floating-point operations of one optimizer step, as the figures of MFU and HFU count them.

MFU counts what the model needs: 2 operations per weight and token forwards, twice that backwards,
and attention over the tokens that are really seen. HFU counts what is recomputed as well.
Source: Narayanan et al., arXiv:2104.04473, appendix, for the count; Chowdhery et al.,
arXiv:2204.02311, appendix B, for the two words.
"""

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.columns import Column, Layout, Work
from irongrid.domain.plan import RECOMPUTE


def attention_weights(work: Work) -> Column:
    """Weights of one block's attention; the columns' form of `ModelShape.attention_parameters`."""
    ordinary = work.hidden * work.head_dim * (2 * work.heads + 2 * work.kv_heads)
    wide = work.head_dim + work.latent_rotary
    query = np.where(
        np.asarray(work.latent_query) > 0,
        work.latent_query * (work.hidden + work.heads * wide),
        work.hidden * work.heads * wide,
    )
    down = work.hidden * (work.latent_kv + work.latent_rotary)
    up = work.latent_kv * work.heads * (work.head_dim + work.latent_value)
    latent = query + down + up + work.heads * work.latent_value * work.hidden
    return np.where(np.asarray(work.latent_kv) > 0, latent, ordinary)


def dense_weights(work: Work) -> Column:
    """Weights of one dense feed-forward layer."""
    return (2 + work.gated) * work.hidden * work.ffn


def active_expert_weights(work: Work) -> Column:
    """Weights of a block's experts that one token passes, with shared experts and router."""
    routed = (2 + work.gated) * work.hidden * work.expert_ffn * work.top_k
    shared = (2 + work.gated) * work.hidden * work.shared_ffn
    return routed + shared + work.hidden * work.experts


def attention_flops_per_token(work: Work) -> Column:
    """Forward operations of one block's attention scores and values, for one token.

    A block with a window sees at most that many tokens; a causal one half of the sequence.
    """
    seen = work.seq_len * np.where(np.asarray(work.causal) > 0, 0.5, 1.0)
    local = np.minimum(seen, np.where(np.asarray(work.window) > 0, work.window, seen))
    share = np.asarray(work.windowed_layers) / np.maximum(work.layers, 1)
    width = np.where(
        np.asarray(work.latent_kv) > 0,
        (work.head_dim + work.latent_rotary + work.latent_value) / 2,
        work.head_dim,
    )
    return 4 * work.heads * width * (seen * (1 - share) + local * share)


def forward_flops_per_token(work: Work) -> Column:
    """Forward operations of the whole model for one token, output layer included."""
    blocks = work.layers + work.prediction_layers
    expert_blocks = work.expert_layers + np.where(
        np.asarray(work.experts) > 0, work.prediction_layers, 0
    )
    weights = blocks * (attention_weights(work) + 6 * work.conditioning * work.hidden / 2)
    weights = weights + (blocks - expert_blocks) * dense_weights(work)
    weights = weights + expert_blocks * active_expert_weights(work)
    weights = weights + work.vocab * work.hidden * (1 + work.prediction_layers)
    return 2 * weights + blocks * attention_flops_per_token(work)


def step_flops(work: Work, layout: Layout) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Model operations and hardware operations of one optimizer step over all devices.

    With adapters or frozen weights, their gradients are not computed.
    """
    tokens = np.asarray(work.global_batch) * work.seq_len
    forward = forward_flops_per_token(work)
    trained = np.where(np.asarray(work.lora_rank) > 0, 0.0, 1.0) * (1 - work.frozen_share)
    attention = work.layers * attention_flops_per_token(work)
    backward = forward + trained * (forward - attention) + attention
    recompute = np.asarray(layout.recompute)
    again = np.where(recompute == RECOMPUTE.index("full"), forward, 0.0)
    again = np.where(recompute == RECOMPUTE.index("selective"), attention, again)
    model = tokens * (forward + backward)
    return np.asarray(model, float), np.asarray(
        model + tokens * again * layout.recompute_share, float
    )
