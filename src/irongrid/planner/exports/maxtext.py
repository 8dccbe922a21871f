"""MaxText: a config over its base.yml; and the same mesh in plain JAX.

Names as in MaxText 0.2.5 (`maxtext/configs/base.yml` and `types.py`, 2026-10).
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.exports import compile as compiling
from irongrid.planner.exports import nccl
from irongrid.planner.exports.jax_mesh import mesh_script
from irongrid.planner.exports.launch import nodes_of, sourced
from irongrid.planner.exports.maxtext_model import fields, unbuilt
from irongrid.planner.exports.refusals import AMD, NVIDIA

FILE = "maxtext.yml"
_OPTIMIZERS = {"adam": "adamw", "sgd": "sgd"}
# What is kept of a block for backward: all products and attention, all products, its input.
_REMAT = {"none": "minimal_with_context", "selective": "minimal", "full": "full"}


def pipelined_layers(model: ModelShape) -> int:
    """Blocks that its pipeline deals out: DeepSeek's dense ones stay outside."""
    if model.experts is not None and model.latent is not None:
        return model.expert_layers
    return model.layers


def obstacles(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> Iterator[str]:
    """What MaxText would refuse or ignore."""
    if pool.accelerator.generation not in NVIDIA | AMD | {"tpu", "cpu"}:
        yield f"{pool.accelerator.name}, where it needs a TPU, CUDA, ROCm or a CPU"
    if training.optimizer not in _OPTIMIZERS:
        yield f"the optimizer {training.optimizer}"
    if training.lora_rank or training.frozen_share:
        yield "frozen weights"
    if plan.offload != "none" and plan.offload_tier != "host":
        yield f"offload to {plan.offload_tier}"
    missing = unbuilt(model)
    if missing is not None:
        yield missing
    yield from _axis_obstacles(plan, training, pool)
    yield from _pipeline_obstacles(plan, model)


def _axis_obstacles(plan: ParallelPlan, training: Training, pool: Pool) -> Iterator[str]:
    if plan.dp % plan.ep:
        yield f"ep={plan.ep}, which it takes out of the {plan.dp} data-parallel ranks"
    tpu = pool.accelerator.generation == "tpu"
    if plan.precision == "fp8" and pool.accelerator.generation not in NVIDIA | AMD:
        yield f"fp8 on {pool.accelerator.name}"
    if plan.cp > 1 and plan.context == "ulysses" and not tpu:
        yield "Ulysses, which it has on TPUs only"
    if plan.cp > 1 and plan.context == "ring" and pool.accelerator.generation == "cpu":
        yield "a ring of context on CPUs"
    if plan.cp > 1 and tpu and training.seq_len % plan.cp**2:
        yield f"sequences of {training.seq_len} tokens, not a multiple of cp squared"
    if plan.tp > slice_devices(plan, pool):
        yield f"tp={plan.tp} beyond a slice of {slice_devices(plan, pool)} devices"
    inner = math.prod(inside for inside, _ in split_axes(plan, pool).values())
    if inner != slice_devices(plan, pool):
        yield f"axes that do not fill a slice of {slice_devices(plan, pool)} devices"


def _pipeline_obstacles(plan: ParallelPlan, model: ModelShape) -> Iterator[str]:
    if plan.pp == 1:
        return
    layers = pipelined_layers(model)
    if layers % (plan.pp * plan.virtual_stages):
        yield f"{layers} layers in {plan.pp} x {plan.virtual_stages} equal pieces"
    if plan.grad_accum % plan.pp:
        yield f"{plan.grad_accum} micro-batches, not a multiple of pp={plan.pp}"


def slice_devices(plan: ParallelPlan, pool: Pool) -> int:
    """Devices that share the fast links: a TPU slice, or a GPU node."""
    if pool.accelerator.generation == "tpu":
        return min(plan.world_size, pool.levels[0].devices)
    return min(plan.world_size, pool.devices_per_node)


def axes(plan: ParallelPlan, pool: Pool) -> dict[str, int]:
    """MaxText's mesh axes, innermost first. Its expert axis is part of data parallelism."""
    sharded = plan.zero == "fsdp"
    shard = plan.dp_shard if sharded else 1
    from_shard = math.gcd(plan.ep, shard)
    gpu = pool.accelerator.generation in NVIDIA | AMD
    # Sharding the tokens between blocks too is an axis of its own, for GPUs.
    tensor = "tensor_sequence" if gpu and plan.sequence_parallel else "tensor"
    return {
        tensor: plan.tp,
        "context": plan.cp,
        "expert": plan.ep,
        "fsdp": shard // from_shard,
        "data": plan.dp // shard // (plan.ep // from_shard) or 1,
        "pipeline": plan.pp,
    }


def split_axes(plan: ParallelPlan, pool: Pool) -> dict[str, tuple[int, int]]:
    """Of each axis: ranks inside a slice, and slices that it spans. Inner axes go inside first."""
    left = slice_devices(plan, pool)
    found = {}
    for name, ranks in axes(plan, pool).items():
        inside = math.gcd(ranks, left)
        left //= inside
        found[name] = (inside, ranks // inside)
    return found


def _mesh(plan: ParallelPlan, pool: Pool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (inside, across) in split_axes(plan, pool).items():
        found[f"ici_{name}_parallelism"] = inside
        found[f"dcn_{name}_parallelism"] = across
    # The base config would fill these with what is left; the plan leaves nothing.
    for name in ("ici_fsdp_parallelism", "dcn_data_parallelism"):
        found.setdefault(name, 1)
    found["num_slices"] = plan.world_size // slice_devices(plan, pool)
    if plan.rank_map == "torus":
        found["allow_split_physical_axes"] = True
    return found


def _context(plan: ParallelPlan, pool: Pool) -> dict[str, Any]:
    if plan.cp == 1:
        return {}
    found: dict[str, Any] = {"context_parallel_strategy": plan.context, "packing": False}
    if pool.accelerator.generation == "tpu":
        found |= {"attention": "flash", "use_tokamax_splash": True}
        found["context_parallel_load_balance"] = plan.context == "ring" and plan.cp % 2 == 0
    else:
        found["attention"] = "cudnn_flash_te"
    return found


def _batch(plan: ParallelPlan, model: ModelShape) -> dict[str, Any]:
    samples = plan.global_batch / plan.world_size
    if plan.pp == 1:
        return {
            "per_device_batch_size": samples / plan.grad_accum,
            "gradient_accumulation_steps": plan.grad_accum,
        }
    return {
        "per_device_batch_size": samples,
        "gradient_accumulation_steps": 1,
        "num_pipeline_microbatches": plan.grad_accum,
        "num_pipeline_repeats": plan.virtual_stages,
        "num_layers_per_pipeline_stage": pipelined_layers(model) // (plan.pp * plan.virtual_stages),
        "pipeline_parallel_layers": pipelined_layers(model),
        "scan_layers": True,
    }


def _precision(plan: ParallelPlan, pool: Pool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dtype": "float32" if plan.precision == "fp32" else "bfloat16",
        "weight_dtype": "float32",
    }
    if plan.precision == "fp8":
        found["quantization"] = "nanoo_fp8" if pool.accelerator.generation in AMD else "fp8"
    return found


def _memory(plan: ParallelPlan) -> dict[str, Any]:
    if plan.offload == "activations":
        return {"remat_policy": "minimal_offloaded"}
    found: dict[str, Any] = {"remat_policy": _REMAT[plan.recompute]}
    if plan.offload == "optimizer":
        found["optimizer_memory_host_offload"] = True
    return found


def config(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> dict[str, dict[str, Any]]:
    """Keys of MaxText's config by what they are about."""
    generation = pool.accelerator.generation
    hardware = generation if generation in ("tpu", "cpu") else "gpu"
    return {
        "the run": {
            "base_config": "base.yml",
            "run_name": "irongrid-plan",
            "hardware": hardware,
            "dataset_type": "synthetic",
            "steps": 20,
            "enable_checkpointing": False,
            "opt_type": _OPTIMIZERS[training.optimizer],
        },
        "the model": fields(model, training),
        "the mesh: ici inside a slice or node, dcn between them": _mesh(plan, pool),
        "long sequences": _context(plan, pool),
        "the batch": _batch(plan, model),
        "precision": _precision(plan, pool),
        "memory": _memory(plan),
    }


def _yaml(parts: dict[str, dict[str, Any]]) -> str:
    """JSON's values are YAML's too."""
    lines = ["# A plan of Irongrid for MaxText 0.2.5, over its base.yml."]
    for topic, chosen in parts.items():
        if chosen:
            lines.append(f"# {topic}")
        lines += [f"{name}: {json.dumps(value)}" for name, value in chosen.items()]
    return "\n".join(lines) + "\n"


def _launcher(plan: ParallelPlan, pool: Pool) -> str:
    command = f'exec python3 -m maxtext.trainers.pre_train.train {FILE} "$@"'
    lines = ["#!/usr/bin/env bash", "# Start once on every host.", "set -euo pipefail"]
    lines.append('cd "$(dirname "$0")"')
    if pool.accelerator.generation in NVIDIA | AMD:
        lines += [
            sourced(nccl.FILE),
            f"export NNODES={nodes_of(plan, pool)} NODE_RANK=${{NODE_RANK:-0}}",
            "export JAX_COORDINATOR_IP=${MASTER_ADDR:-localhost}",
            "export JAX_COORDINATOR_PORT=${MASTER_PORT:-29500}",
        ]
    return "\n".join([*lines, command]) + "\n"


def export(plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool) -> dict[str, str]:
    """The config, the launcher, the mesh in plain JAX and the advice."""
    return {
        FILE: _yaml(config(plan, model, training, pool)),
        "launch.sh": _launcher(plan, pool),
        "jax_mesh.py": mesh_script(plan),
        nccl.FILE: nccl.environment(plan, pool),
        compiling.FILE: compiling.advice("maxtext", plan, model, training, pool),
    }
