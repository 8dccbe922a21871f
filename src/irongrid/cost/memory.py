"""Peak memory of the fullest stage's devices, and what offloading puts beside them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.activations import (
    BlockActivations,
    block_activations,
    logits_bytes,
)
from irongrid.cost.columns import Layout, Machine, PeakMemory, Work
from irongrid.cost.memory_coefficients import MemoryCoefficients
from irongrid.cost.stages import Stage, fullest_stages, stage_at
from irongrid.cost.states import StateRules, state_rules, states
from irongrid.domain.plan import OFFLOADS

Array = NDArray[np.float64]

PARTS = ("weights", "gradients", "optimizer", "activations", "buffers", "context")
_OPTIMIZER, _PARAMETERS, _ACTIVATIONS = (
    OFFLOADS.index(name) for name in ("optimizer", "parameters", "activations")
)
_HOST = "host"
_USUAL_BYTES = 80e9


def peak_memory(
    work: Work,
    machine: Machine,
    layout: Layout,
    coefficients: MemoryCoefficients,
    stage_layers: Sequence[int] = (),
) -> PeakMemory:
    """Bytes at the peak of one step, by part, at the stage that needs most.

    The peak of an optimizer step lies in a backward pass: all gradients exist, and the most
    micro-batches are in flight.

    Args:
        stage_layers: blocks of each stage of all plans; empty is what the layouts say.
    """
    waiting, like = coefficients.waiting_chunks, np.ones_like(np.asarray(layout.pp, np.float64))
    stages = tuple(
        stage_at(work, layout, rank * like, waiting, blocks=blocks * like)
        for rank, blocks in enumerate(stage_layers)
    ) or fullest_stages(work, layout, waiting)
    best, *others = (
        _peak(work, parts, coefficients)
        for parts in _parts_of_stages(work, machine, layout, stages, coefficients)
    )
    for other in others:
        best = _fuller(best, other)
    return best


def _fuller(one: PeakMemory, other: PeakMemory) -> PeakMemory:
    """What the fuller of two stages of each plan needs.

    Each figure is the larger one: of two stages alike the one with more activations is less sure.
    """
    more = other.p50_bytes > one.p50_bytes
    return PeakMemory(
        p50_bytes=np.where(more, other.p50_bytes, one.p50_bytes),
        p95_bytes=np.maximum(one.p95_bytes, other.p95_bytes),
        parts_bytes={
            name: np.where(more, other.parts_bytes[name], part)
            for name, part in one.parts_bytes.items()
        },
        host_bytes=np.maximum(one.host_bytes, other.host_bytes),
    )


def stage_memory(
    work: Work,
    machine: Machine,
    layout: Layout,
    coefficients: MemoryCoefficients,
    stage_layers: Sequence[int] = (),
) -> PeakMemory:
    """Peak memory of every stage of one plan, first to last: columns with one entry a stage.

    Args:
        stage_layers: blocks of each stage; empty is an even split.
    """
    ranks = np.arange(int(np.max(layout.pp)), dtype=np.float64)
    blocks = np.asarray(stage_layers, dtype=np.float64) if stage_layers else None
    return memory_at(work, machine, layout, coefficients, rank=ranks, blocks=blocks)


def memory_at(
    work: Work,
    machine: Machine,
    layout: Layout,
    coefficients: MemoryCoefficients,
    *,
    rank: Array,
    blocks: Array | None = None,
) -> PeakMemory:
    """Peak memory of one stage of each plan.

    Args:
        rank: the stage; 0 holds the embedding.
        blocks: of that stage; without them the split is even.
    """
    stage = stage_at(work, layout, rank, coefficients.waiting_chunks, blocks=blocks)
    (parts,) = _parts_of_stages(work, machine, layout, (stage,), coefficients)
    return _peak(work, parts, coefficients)


def _total(parts: dict[str, Array]) -> Array:
    return np.asarray(sum(parts[name] for name in PARTS))


def _parts_of_stages(
    work: Work,
    machine: Machine,
    layout: Layout,
    stages: Sequence[Stage],
    coefficients: MemoryCoefficients,
) -> list[dict[str, Array]]:
    blocks = block_activations(work, machine, layout, coefficients)
    logits = logits_bytes(work, layout, coefficients)
    rules = state_rules(work, layout, coefficients)
    fixed = coefficients.of_software("fixed_bytes", work.runtime) * _room(machine)
    return [
        _stage_parts(layout, stage, rules, blocks, logits, coefficients) | {"context": fixed}
        for stage in stages
    ]


def _peak(work: Work, parts: dict[str, Array], coefficients: MemoryCoefficients) -> PeakMemory:
    shape = np.broadcast_shapes(*(np.shape(part) for part in parts.values()))
    columns = {name: np.broadcast_to(part, shape) for name, part in parts.items()}
    total = np.broadcast_to(_total(columns), shape)
    return PeakMemory(
        p50_bytes=total,
        p95_bytes=total + _headroom(work, columns, coefficients),
        parts_bytes={name: columns[name] for name in PARTS},
        host_bytes=columns[_HOST],
    )


def _room(machine: Machine) -> Array:
    """How much of the fixed bytes a device holds, relative to one of 80 GB.

    Buckets and caches are given back where memory is scarce, and left alone where it is not.
    """
    return np.clip(np.asarray(machine.memory_bytes) / _USUAL_BYTES, 0.25, 1.25)


def _stage_parts(
    layout: Layout,
    stage: Stage,
    rules: StateRules,
    blocks: BlockActivations,
    logits: Array,
    coefficients: MemoryCoefficients,
) -> dict[str, Array]:
    held = states(rules, stage)
    offload = np.asarray(layout.offload)
    no_optimizer = (offload == _OPTIMIZER) | (offload == _PARAMETERS)
    no_weights, no_activations = offload == _PARAMETERS, offload == _ACTIVATIONS

    kept = stage.dense_blocks * blocks.kept_dense + stage.expert_blocks * blocks.kept_experts
    kept = kept * stage.in_flight
    block = np.maximum(
        np.where(stage.dense_blocks > 0, blocks.kept_dense, 0.0),
        np.where(stage.expert_blocks > 0, blocks.kept_experts, 0.0),
    )
    working = np.maximum(
        np.where(stage.dense_blocks > 0, blocks.working_dense, 0.0),
        np.where(stage.expert_blocks > 0, blocks.working_experts, 0.0),
    )
    # Two blocks stay on the device: one in work, one on its way.
    near = np.where(no_activations, np.minimum(kept, 2.0 * block), kept)
    loose = near + working + stage.heads * logits
    streamed = np.where(no_weights, np.minimum(2.0 * held.block_weights, held.weights), 0.0)
    buffers = held.buffers + streamed + _transfers(layout, blocks)
    return {
        "weights": np.where(no_weights, 0.0, held.weights),
        "gradients": held.gradients,
        "optimizer": np.where(no_optimizer, 0.0, held.optimizer),
        "activations": (1.0 + coefficients.fragmentation) * loose,
        "buffers": (1.0 + coefficients.fragmentation) * buffers,
        _HOST: np.where(no_optimizer, held.optimizer, 0.0)
        + np.where(no_weights, held.weights, 0.0)
        + np.where(no_activations, kept - near, 0.0),
    }


def _transfers(layout: Layout, blocks: BlockActivations) -> Array:
    """Bytes that wait between stages (in and out, forward and backward) or context ranks."""
    staged = np.where(np.asarray(layout.pp) > 1, 4.0 * blocks.entry, 0.0)
    return staged + np.where(np.asarray(layout.cp) > 1, 2.0 * blocks.entry, 0.0)


def _headroom(work: Work, parts: dict[str, Array], coefficients: MemoryCoefficients) -> Array:
    """Bytes from p50 to p95: parts err apart from each other, and more where nothing was fitted."""
    known = coefficients.of_software("known", work.runtime) > 0
    unlike = ~known | (np.asarray(work.experts) > 0) | (np.asarray(work.latent_kv) > 0)
    model_states = parts["weights"] + parts["gradients"] + parts["optimizer"]
    variance = (
        (coefficients.headroom_states * model_states) ** 2
        + (coefficients.headroom_activations * parts["activations"]) ** 2
        + (coefficients.headroom_buffers * parts["buffers"]) ** 2
        + (coefficients.headroom_context * parts["context"]) ** 2
    )
    return np.where(unlike, coefficients.novelty, 1.0) * np.sqrt(variance)
