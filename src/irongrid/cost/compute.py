"""Time of one block's kernels on one device: matrix products, attention, elementwise passes.

A product runs at a share of the dense peak that its shape allows: tiles of 128 x 256 are spread
over the multiprocessors in waves, and a last wave that is not full costs as much as a full one.
Sources: NVIDIA, "Matrix Multiplication Background User's Guide" (2023-02), for tiles and waves;
Dao, arXiv:2307.08691, for attention's passes; Korthikanti et al., arXiv:2205.05198, for what
selective recomputation runs again. The efficiencies are fitted: see validation/fit.py.
"""

from dataclasses import dataclass

import numpy as np

from irongrid.cost.behaviours import BEHAVIOURS, UNFUSED
from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import Column, Layout, Machine, Work
from irongrid.cost.devices import device_of
from irongrid.cost.words import is_one_of, look_up
from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.plan import PRECISIONS

# Multiprocessors of a device of the generation, or what takes their place; from the makers' data
# sheets (V100, T4, A100, L40S, H100, B200), 1 where there is no such thing and tiles do not count.
MULTIPROCESSORS = {"volta": 80, "turing": 40, "ampere": 108, "ada": 142, "hopper": 132,
                   "blackwell": 148, "cdna2": 110, "cdna3": 304}  # fmt: skip
# Power limit over dense bf16 peak of the generation's usual device, in W per 1e12 FLOP/s; the same
# data sheets (A100-80GB 400/312, H100 SXM 700/989, B200 1000/2250).
WATTS_PER_TERAFLOP = {"ampere": 400 / 312, "hopper": 700 / 989.5, "blackwell": 1000 / 2250}
_NARROW = tuple(p for p in PRECISIONS if p in ("fp8", "mxfp8", "nvfp4"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTime:
    """Seconds on one device for one micro-batch.

    Attributes:
        forward_s, backward_s: of a block's device kernels, without communication.
        attention_s: of attention's scores and values within `forward_s`.
        head_s: of the output layer with its loss, forward and backward together.
    """

    dense_forward_s: Column
    dense_backward_s: Column
    expert_forward_s: Column
    expert_backward_s: Column
    attention_s: Column
    head_s: Column


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    """What products and passes run at."""

    flops_per_s: Column
    half_flops_per_s: Column
    bytes_per_s: Column
    units: Column
    operand_bytes: Column


def _rates(work: Work, machine: Machine, c: Coefficients) -> _Rates:
    usual = np.array([WATTS_PER_TERAFLOP.get(g, 0.0) for g in GENERATIONS])
    usual_watts = look_up(usual, machine.generation) * np.asarray(machine.half_flops_per_s) / 1e12
    power = np.where(
        np.asarray(usual_watts) > 0, machine.peak_watts / np.maximum(usual_watts, 1e-9), 1.0
    )
    clocks = np.clip(power, 0.5, 2.0) ** c.power_exponent
    efficiency = (
        look_up(c.gemm_efficiency, machine.generation)
        * look_up(c.device_efficiency, device_of(machine))
        * clocks
    )
    units = np.array([float(MULTIPROCESSORS.get(g, 1)) for g in GENERATIONS])
    return _Rates(
        flops_per_s=machine.peak_flops_per_s
        * efficiency
        * look_up(c.precision_efficiency, work.precision),
        half_flops_per_s=machine.half_flops_per_s * efficiency,
        bytes_per_s=machine.hbm_bytes_per_s,
        units=look_up(units, machine.generation),
        operand_bytes=2.0,
    )


def _product_s(
    m: Column, n: Column, k: Column, flops_per_s: Column, r: _Rates, c: Coefficients
) -> Column:
    """Seconds of one matrix product of m x k by k x n."""
    tiles = np.maximum(np.asarray(m) / 128, 1.0) * np.maximum(np.asarray(n) / 256, 1.0)
    waves = tiles / r.units
    quantised = np.ceil(waves) / waves
    loss = np.minimum(quantised, 8.0) ** c.wave_exponent
    loss = np.where(np.asarray(r.units) > 1, loss, 1.0)
    shape = (1 + c.gemm_half_k / k) * (1 + c.gemm_half_n / n)
    moved = 2.0 * (np.asarray(m) * k + np.asarray(k) * n + np.asarray(m) * n)
    return (
        2.0 * m * n * k / flops_per_s * loss * shape
        + c.gemm_traffic * moved / r.bytes_per_s
        + c.gemm_kernel_s
    )


def block_time(work: Work, machine: Machine, layout: Layout, c: Coefficients) -> BlockTime:
    """Seconds of one block's kernels, dense and with experts, and of the output layer."""
    r = _rates(work, machine, c)
    tokens = layout.micro_batch * np.asarray(work.seq_len, float) / layout.cp
    passes = _elementwise_s(work, layout, tokens, r, c)
    attention_products = _attention_products_s(work, layout, tokens, r, c)
    scores_f, scores_b = _scores_s(work, machine, layout, tokens, r, c)
    dense = _feed_forward_s(work.ffn, work, layout, tokens, r, c)
    expert = _experts_s(work, layout, tokens, r, c)
    inner = c.activation_passes * 2.0 * tokens / layout.tp / r.bytes_per_s
    dense_passes = passes + inner * work.ffn * (1 + work.gated)
    routed = work.top_k * np.asarray(work.expert_ffn) + work.shared_ffn
    expert_passes = passes + inner * routed * (1 + work.gated)
    sort = c.expert_passes * 2.0 * tokens / layout.tp * work.hidden * work.top_k / r.bytes_per_s
    trained = np.where(np.asarray(work.lora_rank) > 0, 0.05, 1.0) * (1 - work.frozen_share)
    backward = 1.0 + trained
    return BlockTime(
        dense_forward_s=attention_products + dense + dense_passes + scores_f,
        dense_backward_s=backward * (attention_products + dense) + 2 * dense_passes + scores_b,
        expert_forward_s=attention_products + expert + expert_passes + sort + scores_f,
        expert_backward_s=backward * (attention_products + expert)
        + 2 * (expert_passes + sort)
        + scores_b,
        attention_s=scores_f,
        head_s=_head_s(work, layout, tokens, backward, r, c),
    )


def _attention_products_s(
    work: Work, layout: Layout, tokens: Column, r: _Rates, c: Coefficients
) -> Column:
    """Projections to queries, keys, values and back."""
    wide = work.head_dim * (np.asarray(work.heads) + 2 * work.kv_heads) / layout.tp
    back = work.head_dim * np.asarray(work.heads) / layout.tp
    ordinary = _product_s(tokens, wide, work.hidden, r.flops_per_s, r, c)
    ordinary = ordinary + _product_s(tokens, work.hidden, back, r.flops_per_s, r, c)
    if not np.any(np.asarray(work.latent_kv) > 0):
        return ordinary
    rank_q = np.maximum(np.asarray(work.latent_query), 1)
    rank_kv = np.maximum(np.asarray(work.latent_kv), 1)
    query = work.heads * (work.head_dim + np.asarray(work.latent_rotary)) / layout.tp
    pair = work.heads * (work.head_dim + np.asarray(work.latent_value)) / layout.tp
    out = np.maximum(work.heads * np.asarray(work.latent_value) / layout.tp, 1)
    latent = (
        _product_s(tokens, rank_q + rank_kv + work.latent_rotary, work.hidden, r.flops_per_s, r, c)
        + _product_s(tokens, query, rank_q, r.flops_per_s, r, c)
        + _product_s(tokens, pair, rank_kv, r.flops_per_s, r, c)
        + _product_s(tokens, work.hidden, out, r.flops_per_s, r, c)
    )
    return np.where(np.asarray(work.latent_kv) > 0, latent, ordinary)


def _feed_forward_s(
    width: Column, work: Work, layout: Layout, tokens: Column, r: _Rates, c: Coefficients
) -> Column:
    """The dense feed-forward layer's products."""
    inner = np.maximum(np.asarray(width, float) / layout.tp, 1)
    up = _product_s(tokens, (1 + work.gated) * inner, work.hidden, r.flops_per_s, r, c)
    return up + _product_s(tokens, work.hidden, inner, r.flops_per_s, r, c)


def _experts_s(work: Work, layout: Layout, tokens: Column, r: _Rates, c: Coefficients) -> Column:
    """The routed experts' grouped products, the shared experts' and the router's.

    A rank's tokens are its share of the sequence; each meets `top_k` experts, spread evenly.
    """
    if not np.any(np.asarray(work.experts) > 0):
        return 0.0
    experts = np.maximum(np.asarray(work.experts, float), 1)
    routed = np.asarray(tokens) / layout.tp * work.top_k
    per_expert = routed * layout.ep / experts
    full = c.expert_efficiency * per_expert / (per_expert + c.expert_half_tokens)
    width = np.maximum(np.asarray(work.expert_ffn, float), 1)
    flops = 2.0 * routed * (2 + work.gated) * work.hidden * width
    local = experts / layout.ep
    moved = 2.0 * local * (2 + work.gated) * work.hidden * width
    grouped = flops / (r.flops_per_s * np.maximum(full, 1e-3)) + moved / r.bytes_per_s
    shared = np.where(
        np.asarray(work.shared_ffn) > 0,
        _feed_forward_s(np.maximum(work.shared_ffn, 1), work, layout, tokens, r, c),
        0.0,
    )
    router = 2.0 * tokens * work.hidden * experts / (0.25 * r.half_flops_per_s)
    return np.where(np.asarray(work.experts) > 0, grouped + shared + router, 0.0)


def _elementwise_s(
    work: Work, layout: Layout, tokens: Column, r: _Rates, c: Coefficients
) -> Column:
    """Norms, residuals, dropout and casts of the residual stream; split by sequence parallelism."""
    split = np.where(np.asarray(layout.sequence_parallel) > 0, layout.tp, 1)
    narrow = is_one_of(PRECISIONS, _NARROW, work.precision)
    passes = c.elementwise_passes / split + c.cast_passes * narrow
    return 2.0 * tokens * work.hidden * passes / r.bytes_per_s


def _scores_s(
    work: Work, machine: Machine, layout: Layout, tokens: Column, r: _Rates, c: Coefficients
) -> tuple[Column, Column]:
    """Attention's scores and values, forward and backward."""
    unfused = is_one_of(BEHAVIOURS, tuple(UNFUSED), work.runtime)
    seq = np.asarray(work.seq_len, float)
    heads = np.maximum(np.asarray(work.heads) / layout.tp, 1)
    seen = seq * np.where(np.asarray(work.causal) > 0, 0.5, 1.0)
    near = np.minimum(seen, np.where(np.asarray(work.window) > 0, work.window, seen))
    share = np.asarray(work.windowed_layers) / np.maximum(work.layers, 1)
    seen = seen * (1 - share) + near * share
    width = np.where(
        np.asarray(work.latent_kv) > 0,
        (work.head_dim + np.asarray(work.latent_rotary) + work.latent_value) / 2,
        work.head_dim,
    )
    flash_rate = (
        machine.half_flops_per_s
        * look_up(c.flash_efficiency, machine.generation)
        * look_up(c.flash_behaviour, work.runtime)
        * look_up(c.device_efficiency, device_of(machine))
    )
    flash = 4.0 * tokens * heads * width * seen / flash_rate
    bare = layout.micro_batch * heads
    odd = np.where(np.floor(bare) % 4 > 0, c.softmax_fallback, 1.0)
    squares = tokens * seq * heads
    written = 4.0 * squares * width / (r.half_flops_per_s * c.score_efficiency)
    written = written + c.score_passes * 2.0 * squares * odd / r.bytes_per_s
    return (
        np.where(unfused > 0, written, flash),
        np.where(unfused > 0, 2.0 * written, 2.5 * flash),
    )


def _head_s(
    work: Work, layout: Layout, tokens: Column, backward: Column, r: _Rates, c: Coefficients
) -> Column:
    """The output layer at half precision and its loss, forward and backward."""
    share = np.maximum(np.asarray(work.vocab, float) / layout.tp, 1)
    product = _product_s(tokens, share, work.hidden, r.half_flops_per_s, r, c)
    passes = c.head_passes * 2.0 * tokens * share / r.bytes_per_s
    return np.where(np.asarray(work.vocab) > 0, (1 + backward) * product + passes, 0.0)
