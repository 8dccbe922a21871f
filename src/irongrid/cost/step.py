"""Time of one optimizer step, from its parts."""

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.behaviours import BEHAVIOURS, UNFUSED
from irongrid.cost.coefficients import Coefficients
from irongrid.cost.collectives import send_s
from irongrid.cost.columns import Column, Layout, Machine, StepTime, Work
from irongrid.cost.compute import block_time
from irongrid.cost.flops import step_flops
from irongrid.cost.overlap import (
    context_s,
    expert_s,
    gradient_s,
    is_fully_sharded,
    shard_s,
    stage_weights,
    tensor_s,
)
from irongrid.cost.pipeline import bubble_s, stages_of
from irongrid.cost.residual import features_of
from irongrid.cost.words import is_one_of, look_up
from irongrid.domain.plan import OFFLOAD_TIERS, OFFLOADS, RECOMPUTE, SCHEDULES

Floats = NDArray[np.float64]
# Standard deviations from the median to the ninth decile.
_P90 = 1.2816
# Share of the multiprocessors that move tokens between experts: 20 of an H800's 132
# (DeepSeek-V3, arXiv:2412.19437, section 3.2.2).
_SENDING = 20 / 132
PARTS = ("compute", "tp", "cp", "ep", "pp", "dp", "bubble", "optimizer", "offload", "overhead")


def step_time(work: Work, machine: Machine, layout: Layout, coefficients: Coefficients) -> StepTime:
    """Seconds of one optimizer step of each plan, with parts, p50 and p90.

    The formulas' time is corrected by what rows like the case have shown; all parts alike, as
    nobody measured which of them it was.
    """
    parts, total = formula_time(work, machine, layout, coefficients)
    features = features_of(work, machine, layout, total)
    shift, novelty = coefficients.residual.at(features)
    factor = np.exp(shift)
    model, hardware = step_flops(work, layout)
    return StepTime(
        p50_s=total * factor,
        p90_s=total * factor * np.exp(_P90 * coefficients.spread.sigma(novelty)),
        parts_s={name: part * factor for name, part in parts.items()},
        model_flops=np.broadcast_to(model, total.shape),
        hardware_flops=np.broadcast_to(hardware, total.shape),
    )


def formula_time(
    work: Work, machine: Machine, layout: Layout, coefficients: Coefficients
) -> tuple[dict[str, Floats], Floats]:
    """Seconds of one step by the formulas alone: parts and total."""
    parts = _parts(work, machine, layout, coefficients)
    shape = np.broadcast_shapes(*(np.shape(part) for part in parts.values()), (1,))
    columns = {
        name: np.broadcast_to(np.asarray(part, float), shape) for name, part in parts.items()
    }
    return columns, np.sum(list(columns.values()), axis=0)


def _smooth_max(one: Column, other: Column) -> Column:
    """A maximum without a corner: the eighth norm, as host and device overlap imperfectly."""
    high = np.maximum(one, other)
    low = np.minimum(one, other) / np.maximum(high, 1e-30)
    ratio = np.square(np.square(np.square(low)))
    joined: Column = high * np.sqrt(np.sqrt(np.sqrt(1 + ratio)))
    return joined


def _parts(work: Work, machine: Machine, layout: Layout, c: Coefficients) -> dict[str, Column]:
    block = block_time(work, machine, layout, c)
    micro = np.asarray(layout.grad_accum, float)
    again = _recomputed(work, layout, c)
    share = np.asarray(work.expert_layers, float) / np.maximum(work.layers, 1)
    forward = (1 - share) * block.dense_forward_s + share * block.expert_forward_s
    backward = (1 - share) * block.dense_backward_s + share * block.expert_backward_s
    backward = backward + again * forward + _selected(work, layout, forward, block.attention_s, c)
    tp = tensor_s(work, machine, layout, c)
    cp = context_s(work, machine, layout, block.attention_s, c)
    ep = _beside_compute(
        share * expert_s(work, machine, layout, c), forward + backward, 2 + again, layout
    )
    host_f, host_b = _host(work, machine, layout, share, again, c)
    wait_f = _smooth_max(forward + tp + cp + ep, host_f) - (forward + tp + cp + ep)
    busy_b = backward + (1 + again) * (tp + ep) + (2 + again) * cp
    wait_b = _smooth_max(busy_b, host_b) - busy_b
    kernels = forward + backward
    per_block = kernels + wait_f + wait_b + (2 + again) * (tp + ep) + (3 + again) * cp
    stages = stages_of(work, layout, per_block, block.head_s)
    counted = micro * (np.asarray(stages.slowest_s) - block.head_s) / np.maximum(per_block, 1e-30)
    dp = _data_parallel(work, machine, layout, micro, stages.slowest_s, c)
    optimizer, offload = _optimizer(work, machine, layout, c)
    parts: dict[str, Column] = {
        "compute": counted * kernels + micro * block.head_s,
        "tp": counted * (2 + again) * tp,
        "cp": counted * (3 + again) * cp,
        "ep": counted * (2 + again) * ep,
        "pp": micro * _between_stages(work, machine, layout, c),
        "dp": dp,
        "bubble": bubble_s(stages, layout, c),
        "optimizer": optimizer,
        "offload": offload,
        "overhead": counted * (wait_f + wait_b)
        + micro * np.maximum(layout.virtual_stages, 1) * c.micro_batch_s
        + c.step_s,
    }
    ranks = np.asarray(layout.tp) * layout.pp * layout.dp_replicate * layout.dp_shard * layout.cp
    late = c.straggle * np.maximum(np.log2(np.maximum(ranks, 1) / 8), 0.0)
    parts["overhead"] = parts["overhead"] + late * sum(parts.values())
    return parts


def _beside_compute(expert_s: Column, compute_s: Column, passes: Column, layout: Layout) -> Column:
    """What is left of a pass's all-to-all where it hides behind another micro-batch's compute.

    DualPipe pairs one micro-batch's forward with another's backward pass, and the traffic of both
    runs beside the compute of both. While it runs it takes its share of the multiprocessors.
    Source: DeepSeek-V3, arXiv:2412.19437, sections 3.2.1 and 3.2.2.

    Args:
        expert_s: of one pass over a block.
        compute_s: of all passes over it.
        passes: over the block: forward, backward, and what is recomputed.
    """
    paired = is_one_of(SCHEDULES, ("dualpipev",), layout.schedule) > 0
    hidden = np.asarray(compute_s) / passes
    left = np.maximum(_SENDING * np.asarray(expert_s), expert_s - hidden)
    return np.where(paired, left, expert_s)


def _recomputed(work: Work, layout: Layout, c: Coefficients) -> Column:
    """Share of a forward pass that the backward pass repeats."""
    full = is_one_of(RECOMPUTE, ("full",), layout.recompute)
    return full * layout.recompute_share * look_up(c.recompute_share, work.runtime)


def _selected(
    work: Work, layout: Layout, forward_s: Column, attention_s: Column, c: Coefficients
) -> Column:
    """Seconds that selective recomputation adds: unfused attention, or some of the products."""
    selective = is_one_of(RECOMPUTE, ("selective",), layout.recompute) * layout.recompute_share
    unfused = is_one_of(BEHAVIOURS, tuple(UNFUSED), work.runtime)
    share = look_up(c.selective_share, work.runtime)
    return selective * (unfused * attention_s + share * forward_s)


def _host(
    work: Work, machine: Machine, layout: Layout, share: Column, again: Column, c: Coefficients
) -> tuple[Column, Column]:
    """Host seconds to launch a block's forward and backward pass."""
    tall = 1 + c.host_tp_growth * np.square(np.minimum(np.asarray(layout.tp), 16) / 8)
    cpu = np.where(np.asarray(machine.host) == 1, c.host_grace, 1.0)
    mixed = share * look_up(c.host_expert_s, work.runtime)
    once = ((1 - share) * c.host_layer_s + mixed) * tall * cpu
    return once, once * (c.host_backward + again)


def _between_stages(work: Work, machine: Machine, layout: Layout, c: Coefficients) -> Column:
    """Seconds that the slowest stage waits for its neighbours' tensors, for one micro-batch.

    Each tensor-parallel rank sends its share over its own NIC; the receivers gather the rest inside
    the island. Source: Narayanan et al., arXiv:2104.04473, section 4.1.
    """
    tokens = layout.micro_batch * np.asarray(work.seq_len, float) / layout.cp
    stride = np.asarray(layout.tp) * layout.cp * layout.dp_shard * layout.dp_replicate
    one = send_s(2.0 * tokens * work.hidden / layout.tp, layout.pp, stride, machine, c)
    pieces = np.maximum(layout.virtual_stages, 1)
    return np.where(np.asarray(layout.pp) > 1, c.p2p_exposed * 2.0 * pieces * one, 0.0)


def _data_parallel(
    work: Work, machine: Machine, layout: Layout, micro: Column, stage_s: Column, c: Coefficients
) -> Column:
    """Exposed seconds of data parallelism in one step."""
    sharded = is_fully_sharded(layout)
    times = np.where(np.asarray(layout.pp) > 1, 1.0, micro)
    fsdp = times * shard_s(work, machine, layout, stage_s, c)
    return np.where(sharded > 0, fsdp, gradient_s(work, machine, layout, c))


def _optimizer(
    work: Work, machine: Machine, layout: Layout, c: Coefficients
) -> tuple[Column, Column]:
    """Seconds of the optimizer step, and of fetching what is offloaded."""
    weights = stage_weights(work, layout)
    zero = np.asarray(layout.zero) > 0
    shard = np.where(zero, layout.dp_shard, 1)
    mine = np.asarray(weights.dense) / np.where(zero, shard * layout.cp, 1)
    inner = np.asarray(layout.tp) * layout.cp
    mine = mine + np.asarray(weights.expert) / np.maximum(
        np.where(zero, shard * inner / layout.ep, 1), 1
    )
    trained = np.where(np.asarray(work.lora_rank) > 0, 0.01, 1.0) * (1 - work.frozen_share)
    update = c.optimizer_passes * 28.0 * mine * trained / machine.hbm_bytes_per_s
    return update, _offload_s(work, machine, layout, mine * trained, mine, c)


def _offload_s(
    work: Work, machine: Machine, layout: Layout, trained: Column, held: Column, c: Coefficients
) -> Column:
    """Seconds to move offloaded state; half of it hides behind compute."""
    tiers = (
        np.asarray(machine.host_bytes_per_s, float),
        np.asarray(machine.nvme_bytes_per_s, float),
        np.asarray(machine.cxl_bytes_per_s, float),
    )
    tier = np.asarray(layout.offload_tier)
    rate = np.select([tier == i for i in range(len(OFFLOAD_TIERS))], np.broadcast_arrays(*tiers))
    rate = np.maximum(rate, 1e3)
    kind = np.asarray(layout.offload)
    moved = np.where(kind == OFFLOADS.index("optimizer"), 24.0 * trained, 0.0)
    whole = 24.0 * trained + 4.0 * held * layout.grad_accum
    moved = np.where(kind == OFFLOADS.index("parameters"), whole, moved)
    tokens = layout.micro_batch * np.asarray(work.seq_len, float) / layout.cp
    kept = 34.0 * tokens * work.hidden * work.layers / layout.pp / layout.tp * layout.grad_accum
    moved = np.where(kind == OFFLOADS.index("activations"), 2 * kept, moved)
    exposed: Column = 0.5 * moved / rate
    return exposed
