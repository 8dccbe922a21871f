"""What the cost formulas read and answer: columns, one entry per plan (or per measured row).

Every field is a number or a numpy array; all arrays of one call have the same length, numbers are
broadcast. So one set of formulas serves a search over a million plans of one model (numbers for
the model, arrays for the plan) and a fit over a thousand measured runs (arrays for everything).
Words such as a schedule are codes: their index in the tuples of `domain.plan`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = float | NDArray[np.floating[Any]] | NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is trained; the fields are those of `ModelShape` and `Training`.

    Attributes:
        expert_layers: blocks with experts; 0 for a dense model.
        expert_ffn, shared_ffn: inner widths of one routed and of all shared experts.
        latent_*: of multi-head latent attention; `latent_kv` 0 is ordinary attention.
        precision: code in PRECISIONS.
        optimizer: code in OPTIMIZERS.
        lora_rank: 0 trains every weight.
        runtime: code in `cost.coefficients.BEHAVIOURS`, the software whose host time and overlap
            are meant.
    """

    layers: Column
    hidden: Column
    heads: Column
    kv_heads: Column
    head_dim: Column
    ffn: Column
    vocab: Column
    gated: Column
    tied: Column
    causal: Column
    window: Column
    windowed_layers: Column
    positions: Column
    conditioning: Column
    prediction_layers: Column
    experts: Column
    top_k: Column
    expert_layers: Column
    expert_ffn: Column
    shared_ffn: Column
    expert_groups: Column
    groups_per_token: Column
    latent_query: Column
    latent_kv: Column
    latent_rotary: Column
    latent_value: Column
    seq_len: Column
    global_batch: Column
    precision: Column
    optimizer: Column
    lora_rank: Column
    frozen_share: Column
    runtime: Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The hardware under the ranks.

    Attributes:
        peak_flops_per_s: dense peak at the work's precision; half_flops_per_s at bf16 or fp16,
            which attention and everything not quantised runs at.
        generation: code in GENERATIONS.
        host: 0 x86, 1 grace, 2 other.
        island_devices, island_bytes_per_s: the scale-up domain, one direction per device.
        node_devices: devices that share a node's NICs and host.
        net_bytes_per_s: scale-out, one direction per device, up to the first oversubscribed level.
        block_devices: devices below that level; infinite where nothing is oversubscribed.
        spine_bytes_per_s: one direction per device where all of them send beyond their block at
            once, oversubscription taken off.
        net_latency_s, island_latency_s: of one hop.
        host_bytes_per_s: device to host memory.
        host_memory_bytes: per device.
        nvme_bytes_per_s, cxl_bytes_per_s: per device; 0 is none.
    """

    peak_flops_per_s: Column
    half_flops_per_s: Column
    hbm_bytes_per_s: Column
    memory_bytes: Column
    generation: Column
    host: Column
    island_devices: Column
    island_bytes_per_s: Column
    island_latency_s: Column
    node_devices: Column
    net_bytes_per_s: Column
    block_devices: Column
    spine_bytes_per_s: Column
    net_latency_s: Column
    host_bytes_per_s: Column
    host_memory_bytes: Column
    nvme_bytes_per_s: Column
    cxl_bytes_per_s: Column
    peak_watts: Column
    idle_watts: Column
    power_exponent: Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How it is split; the fields are those of `ParallelPlan`, words as codes.

    Attributes:
        recompute_share: share of the blocks to which `recompute` applies, 0 to 1.
        short_ends: 1 where first and last stage have one block fewer than the others.
        most_blocks, last_blocks: of the fullest and of the last stage; 0 is what an even split and
            `short_ends` make of them.
    """

    tp: Column
    pp: Column
    dp_replicate: Column
    dp_shard: Column
    cp: Column
    ep: Column
    micro_batch: Column
    grad_accum: Column
    virtual_stages: Column
    schedule: Column
    zero: Column
    recompute: Column
    recompute_share: Column
    offload: Column
    offload_tier: Column
    sequence_parallel: Column
    context: Column
    compression: Column
    short_ends: Column
    most_blocks: Column = 0.0
    last_blocks: Column = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """Seconds of one optimizer step.

    Attributes:
        parts_s: `compute`, `tp`, `cp`, `ep`, `pp`, `dp` (exposed communication by axis), `bubble`,
            `optimizer`, `offload`, `overhead`; they add up to `p50_s`.
        p90_s: what 9 of 10 runs stay under; further from p50 the less the case resembles what the
            coefficients were fitted on.
        model_flops, hardware_flops: of the whole step over all devices; the latter counts what is
            recomputed.
    """

    p50_s: NDArray[np.float64]
    p90_s: NDArray[np.float64]
    parts_s: dict[str, NDArray[np.float64]]
    model_flops: NDArray[np.float64]
    hardware_flops: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """Bytes at the peak of the fullest stage's devices.

    Attributes:
        parts_bytes: `weights`, `gradients`, `optimizer`, `activations`, `buffers`, `context`; they
            add up to `p50_bytes`.
        host_bytes: what offloading puts beside each device.
    """

    p50_bytes: NDArray[np.float64]
    p95_bytes: NDArray[np.float64]
    parts_bytes: dict[str, NDArray[np.float64]]
    host_bytes: NDArray[np.float64]
