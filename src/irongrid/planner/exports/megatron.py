"""Megatron-LM: an argument file for pretrain_gpt.py, and the script that starts it.

Names of options as in Megatron-LM core_r0.16 (2026-03): `megatron/training/arguments.py` and the
dataclasses of `megatron.core` from which it derives options.
"""

from collections.abc import Iterator

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.exports import compile as compiling
from irongrid.planner.exports import nccl
from irongrid.planner.exports.launch import sourced, torchrun
from irongrid.planner.exports.megatron_model import model_options
from irongrid.planner.exports.refusals import AMD, NVIDIA
from irongrid.planner.exports.stages import even, pieces, pieces_per_stage, stage_layers

Option = tuple[str, str | int | float | None]
FILE = "megatron.args"
COMMAND = 'pretrain_gpt.py $(grep -v "^#" megatron.args) $DATA_ARGS "$@"'


def obstacles(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> Iterator[str]:
    """What pretrain_gpt.py would refuse or ignore."""
    if pool.accelerator.generation not in NVIDIA | AMD:
        yield f"{pool.accelerator.name}, where it needs CUDA or ROCm"
    if training.lora_rank or training.frozen_share:
        yield "frozen weights; its pretrain_gpt.py trains every weight"
    if plan.rank_map != "node-major":
        yield f"rank_map={plan.rank_map}; it counts ranks node by node"
    if plan.pp > 1 and plan.schedule == "interleaved" and plan.grad_accum % plan.pp:
        yield f"grad_accum={plan.grad_accum}, not a multiple of pp={plan.pp}, when interleaved"
    if len(set(plan.recompute_layers)) > 1:
        yield "recompute of more layers on one stage than on another"
    if plan.recompute_layers and plan.recompute == "selective":
        yield "selective recompute of some layers only"
    if plan.recompute_layers and plan.recompute_layers[0] % pieces_per_stage(plan):
        yield (
            f"recompute of {plan.recompute_layers[0]} layers over "
            f"{pieces_per_stage(plan)} virtual stages"
        )
    if model.windowed_layers * 2 != model.layers and 0 < model.windowed_layers < model.layers:
        yield f"local attention in {model.windowed_layers} of {model.layers} layers"
    if plan.cp > 1 and model.window:
        yield "local attention with context parallelism"
    if plan.tp > 1 and model.experts is not None and not plan.sequence_parallel:
        yield "experts and tensor parallelism without sequence parallelism"


def _axes(plan: ParallelPlan, model: ModelShape) -> Iterator[Option]:
    yield "--tensor-model-parallel-size", plan.tp
    yield "--pipeline-model-parallel-size", plan.pp
    yield "--context-parallel-size", plan.cp
    if plan.cp > 1:
        # Ulysses exchanges heads by all-to-all, the ring passes keys and values on.
        yield "--cp-comm-type", "a2a" if plan.context == "ulysses" else "p2p"
    if model.experts is not None:
        yield "--expert-model-parallel-size", plan.ep
        # ep is folded over dp x cp x tp: an expert is never cut itself.
        yield "--expert-tensor-parallel-size", 1
    if plan.tp > 1 and plan.sequence_parallel:
        yield "--sequence-parallel", None


def layout(plan: ParallelPlan, model: ModelShape) -> str:
    """The pieces as letters: E embedding, t a block, m a block that predicts on, L the loss."""
    parts = ["t" * layers for layers in pieces(plan, model)]
    parts[0] = "E" + parts[0]
    parts[-1] += "m" * model.prediction_layers + "L"
    return "|".join(parts)


def _pipeline(plan: ParallelPlan, model: ModelShape) -> Iterator[Option]:
    if plan.pp == 1:
        return
    if not even(plan, model) or model.prediction_layers:
        yield "--pipeline-model-parallel-layout", layout(plan, model)
    elif plan.schedule == "interleaved":
        yield "--num-virtual-stages-per-pipeline-rank", plan.virtual_stages


def _sharding(plan: ParallelPlan) -> Iterator[Option]:
    if plan.zero == "none":
        if plan.dp > 1:
            yield "--overlap-grad-reduce", None
        return
    yield "--use-distributed-optimizer", None
    if plan.dp * plan.cp > 1:
        yield "--overlap-grad-reduce", None
        yield "--overlap-param-gather", None
    if plan.dp_replicate > 1 and plan.dp_shard > 1:
        yield "--num-distributed-optimizer-instances", plan.dp_replicate
    if plan.zero == "fsdp":
        yield "--use-megatron-fsdp", None
        yield "--data-parallel-sharding-strategy", "optim_grads_params"
        yield "--no-gradient-accumulation-fusion", None
        yield "--init-model-with-meta-device", None
        yield "--ckpt-format", "fsdp_dtensor"


def _recompute(plan: ParallelPlan, model: ModelShape) -> Iterator[Option]:
    if plan.recompute == "none":
        return
    yield "--recompute-granularity", plan.recompute
    if plan.recompute == "selective":
        yield "--recompute-modules", "core_attn"
    elif plan.recompute_layers and plan.recompute_layers[0] < max(stage_layers(plan, model)):
        # The first so many blocks of each virtual stage.
        yield "--recompute-method", "block"
        yield "--recompute-num-layers", plan.recompute_layers[0] // pieces_per_stage(plan)
    else:
        yield "--recompute-method", "uniform"
        yield "--recompute-num-layers", 1


def _optimizer(plan: ParallelPlan, training: Training) -> Iterator[Option]:
    yield "--optimizer", "sgd" if training.optimizer == "sgd" else "adam"
    if training.optimizer == "adam8bit":
        # Both moments in one byte, as 8-bit Adam keeps them; it needs the distributed optimizer.
        yield "--use-precision-aware-optimizer", None
        yield "--exp-avg-dtype", "fp8"
        yield "--exp-avg-sq-dtype", "fp8"
    if plan.offload == "optimizer":
        yield "--optimizer-cpu-offload", None
        yield "--optimizer-offload-fraction", 1.0
        yield "--overlap-cpu-optimizer-d2h-h2d", None
        if training.optimizer != "adam8bit":
            yield "--use-precision-aware-optimizer", None


_PRECISIONS: dict[str, tuple[Option, ...]] = {
    "fp32": (),
    "tf32": (),
    "fp16": (("--fp16", None),),
    "bf16": (("--bf16", None),),
    # Scaled by the tensor's current maximum; hybrid is e4m3 forward and e5m2 backward.
    "fp8": (("--bf16", None), ("--fp8-format", "hybrid"), ("--fp8-recipe", "tensorwise")),
    "mxfp8": (("--bf16", None), ("--fp8-format", "e4m3"), ("--fp8-recipe", "mxfp8")),
    "nvfp4": (("--bf16", None), ("--fp4-format", "e2m1"), ("--fp4-recipe", "nvfp4")),
}


def options(
    plan: ParallelPlan, model: ModelShape, training: Training
) -> dict[str, tuple[Option, ...]]:
    """Options of pretrain_gpt.py by what they are about."""
    return {
        "the model": tuple(model_options(model, training)),
        "how it is split": (
            *_axes(plan, model),
            *_pipeline(plan, model),
            *_sharding(plan),
        ),
        "the batch": (
            ("--micro-batch-size", plan.micro_batch),
            ("--global-batch-size", plan.global_batch),
        ),
        "precision": _PRECISIONS[plan.precision],
        "memory": tuple(_recompute(plan, model)),
        "the optimizer": tuple(_optimizer(plan, training)),
    }


def _environment(plan: ParallelPlan, pool: Pool) -> Iterator[str]:
    overlaps = plan.tp * plan.cp > 1 and plan.zero != "fsdp"
    if overlaps and pool.accelerator.generation in ("volta", "turing", "ampere", "ada", "hopper"):
        yield "# One hardware queue keeps collectives ahead of the products that they overlap with."
        yield "export CUDA_DEVICE_MAX_CONNECTIONS=1"
    if plan.precision == "tf32":
        yield "export TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1"


def _arguments(plan: ParallelPlan, model: ModelShape, training: Training) -> str:
    lines = ["# Options of Megatron-LM's pretrain_gpt.py (core_r0.16), one a line."]
    for topic, chosen in options(plan, model, training).items():
        if chosen:
            lines.append(f"# {topic}")
        for name, value in chosen:
            lines.append(name if value is None else f"{name} {value}")
    return "\n".join(lines) + "\n"


def export(plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool) -> dict[str, str]:
    """The argument file, the launcher and the advice."""
    vocab = max(model.vocab, 1)
    launcher = torchrun(
        plan,
        pool,
        COMMAND,
        sourced(nccl.FILE),
        *_environment(plan, pool),
        "# Made-up data, so that it starts as it stands: put your own in DATA_ARGS.",
        f'DATA_ARGS="${{DATA_ARGS:---mock-data --tokenizer-type NullTokenizer '
        f'--vocab-size {vocab} --train-iters 20 --lr 1e-4}}"',
        "# Options such as [0]*3+[1]*58 are no patterns of file names.",
        "set -f",
    )
    return {
        FILE: _arguments(plan, model, training),
        "launch.sh": launcher,
        nccl.FILE: nccl.environment(plan, pool),
        compiling.FILE: compiling.advice("megatron", plan, model, training, pool),
    }
