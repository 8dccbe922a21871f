"""DeepSpeed: ds_config.json, and arguments of Megatron-DeepSpeed's pretrain_gpt.py around it.

Names as in DeepSpeed 0.19 (`deepspeed/runtime/config.py`, `zero/config.py`, 2026-10) and in
Megatron-DeepSpeed's `megatron/arguments.py` (2025-01). The config serves any script that calls
`deepspeed.initialize`; the arguments carry what the config cannot: tensor, pipeline, sequence and
expert parallelism are the script's.
"""

import json
from collections.abc import Iterator
from typing import Any

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.exports import compile as compiling
from irongrid.planner.exports import nccl
from irongrid.planner.exports.launch import nodes_of, sourced

Option = tuple[str, str | int | float | None]
FILE = "ds_config.json"
_STAGES = {"none": 0, "1": 1, "2": 2, "3": 3}
_TIERS = {"host": "cpu", "nvme": "nvme"}


def obstacles(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> Iterator[str]:
    """What DeepSpeed or Megatron-DeepSpeed would refuse or ignore."""
    if pool.accelerator.generation in ("tpu", "trainium"):
        yield f"{pool.accelerator.name}, for which it has no accelerator class"
    if plan.cp > 1 and plan.tp * plan.pp > 1:
        yield "its sequence parallelism together with tensor or pipeline parallelism"
    if plan.offload != "none" and plan.offload_tier not in _TIERS:
        yield f"offload to {plan.offload_tier}"
    if plan.offload != "none" and plan.zero == "none":
        yield "offload without ZeRO"
    needs_three = plan.offload == "parameters" or plan.offload_tier == "nvme"
    if plan.offload != "none" and needs_three and plan.zero != "3":
        yield f"offload of {plan.offload} to {plan.offload_tier} without ZeRO-3"
    if training.optimizer == "adam8bit":
        yield "8-bit Adam"
    if training.lora_rank or training.frozen_share:
        yield "frozen weights; its pretrain_gpt.py trains every weight"
    yield from _model_obstacles(model)


def _model_obstacles(model: ModelShape) -> Iterator[str]:
    if model.latent is not None:
        yield "latent attention, which Megatron-DeepSpeed does not build"
    if model.window:
        yield "local attention, which Megatron-DeepSpeed does not build"
    if model.prediction_layers:
        yield "layers that predict further tokens"
    experts = model.experts
    if experts is not None and (experts.shared_ffn or experts.groups > 1 or experts.dense_layers):
        yield "shared experts, groups of experts or dense layers among them"
    if experts is not None and experts.top_k > 2:
        yield f"{experts.top_k} experts a token, where its gate knows 1 and 2"


def _zero(plan: ParallelPlan) -> dict[str, Any]:
    stage = _STAGES[plan.zero]
    found: dict[str, Any] = {"stage": stage}
    if stage:
        found |= {"overlap_comm": True, "contiguous_gradients": True, "reduce_scatter": True}
    if plan.offload in ("optimizer", "parameters"):
        found["offload_optimizer"] = _offload(plan)
    if plan.offload == "parameters":
        found["offload_param"] = _offload(plan)
    return found


def _offload(plan: ParallelPlan) -> dict[str, Any]:
    where: dict[str, Any] = {"device": _TIERS[plan.offload_tier], "pin_memory": True}
    if plan.offload_tier == "nvme":
        where["nvme_path"] = "/local_nvme"
    return where


def config(plan: ParallelPlan) -> dict[str, Any]:
    """What `deepspeed.initialize` takes."""
    found: dict[str, Any] = {
        "train_batch_size": plan.global_batch,
        "train_micro_batch_size_per_gpu": plan.micro_batch,
        "gradient_accumulation_steps": plan.grad_accum,
        "gradient_clipping": 1.0,
        "steps_per_print": 10,
        "zero_optimization": _zero(plan),
    }
    if plan.precision in ("bf16", "fp16"):
        found[plan.precision] = {"enabled": True}
    if plan.recompute == "full":
        found["activation_checkpointing"] = {
            "partition_activations": plan.tp > 1,
            "contiguous_memory_optimization": False,
            "cpu_checkpointing": False,
        }
    if plan.cp > 1:
        found["sequence_parallel_size"] = plan.cp
    return found


def _model(model: ModelShape, training: Training) -> Iterator[Option]:
    yield "--num-layers", model.layers
    yield "--hidden-size", model.hidden
    width = model.ffn if model.experts is None else model.experts.ffn
    yield "--ffn-hidden-size", width
    yield "--num-attention-heads", model.heads
    yield "--num-key-value-heads", model.kv_heads
    yield "--kv-channels", model.head
    yield "--seq-length", training.seq_len
    yield "--max-position-embeddings", max(model.positions, training.seq_len)
    if not model.positions:
        yield "--use-rotary-position-embeddings", None
    if model.gated:
        yield "--swiglu", None
        yield "--normalization", "rmsnorm"
        yield "--disable-bias-linear", None
    if not model.tied:
        yield "--untie-embeddings-and-output-weights", None
    if model.experts is not None:
        yield "--num-experts", model.experts.count
        yield "--topk", model.experts.top_k
        yield "--expert-interval", 1
        yield "--create-moe-param-group", None
    yield "--attention-dropout", 0.0
    yield "--hidden-dropout", 0.0


def _split(plan: ParallelPlan, model: ModelShape, training: Training) -> Iterator[Option]:
    yield "--deepspeed", None
    yield "--deepspeed_config", FILE
    yield "--zero-stage", _STAGES[plan.zero]
    yield "--tensor-model-parallel-size", plan.tp
    yield "--pipeline-model-parallel-size", plan.pp
    if plan.pp == 1:
        yield "--no-pipeline-parallel", None
    if plan.cp > 1:
        yield "--ds-sequence-parallel-size", plan.cp
    elif plan.tp > 1 and plan.sequence_parallel:
        yield "--sequence-parallel", None
    if model.experts is not None:
        yield "--moe-expert-parallel-size", plan.ep
    yield "--micro-batch-size", plan.micro_batch
    yield "--global-batch-size", plan.global_batch
    if plan.precision in ("bf16", "fp16"):
        yield f"--{plan.precision}", None
    if plan.recompute == "full":
        yield "--checkpoint-activations", None
        yield "--deepspeed-activation-checkpointing", None
    yield "--optimizer", training.optimizer
    if plan.offload in ("optimizer", "parameters"):
        yield "--cpu-optimizer", None


def arguments(plan: ParallelPlan, model: ModelShape, training: Training) -> tuple[Option, ...]:
    """Options of Megatron-DeepSpeed's pretrain_gpt.py."""
    return (*_model(model, training), *_split(plan, model, training))


def _launcher(plan: ParallelPlan, pool: Pool) -> str:
    nodes = nodes_of(plan, pool)
    where = f"--num_nodes {nodes} " + ("--hostfile hostfile " if nodes > 1 else "")
    lines = [
        "#!/usr/bin/env bash",
        "# Start once, on the first node. hostfile has a line `NAME slots=N` for each node, in the",
        "# order of ranks: neighbours in the network stand on neighbouring lines.",
        "set -euo pipefail",
        'cd "$(dirname "$0")"',
        sourced(nccl.FILE),
        ': "${DATA_ARGS:?name your data, such as --data-path my_corpus --train-iters 1000}"',
        f"exec deepspeed {where}--num_gpus {min(plan.world_size, pool.devices_per_node)} \\",
        '  pretrain_gpt.py $(grep -v "^#" megatron_deepspeed.args) $DATA_ARGS "$@"',
    ]
    return "\n".join(lines) + "\n"


def export(plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool) -> dict[str, str]:
    """The config, the script's arguments, the launcher and the advice."""
    lines = ["# Options of Megatron-DeepSpeed's pretrain_gpt.py, one a line."]
    for name, value in arguments(plan, model, training):
        lines.append(name if value is None else f"{name} {value}")
    return {
        FILE: json.dumps(config(plan), indent=2) + "\n",
        "megatron_deepspeed.args": "\n".join(lines) + "\n",
        "launch.sh": _launcher(plan, pool),
        nccl.FILE: nccl.environment(plan, pool),
        compiling.FILE: compiling.advice("deepspeed", plan, model, training, pool),
    }
