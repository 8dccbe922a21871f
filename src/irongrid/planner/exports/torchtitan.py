"""torchtitan: a config module for `python -m torchtitan.train --module ... --config ...`.

torchtitan 0.3 (2026-09) reads Python where 0.2 read TOML: `--module` names a module, `--config` a
function in it that returns a `Trainer.Config`. Names as in its `config/configs.py`.
"""

import json
from collections.abc import Iterator

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.exports import compile as compiling
from irongrid.planner.exports import nccl
from irongrid.planner.exports.launch import sourced, torchrun
from irongrid.planner.exports.refusals import AMD, NVIDIA
from irongrid.planner.exports.stages import pieces
from irongrid.planner.exports.torchtitan_model import flavour, imports, plain_llama, source

MODULE = "irongrid_plan"
FILE = f"{MODULE}.py"
_SCHEDULES = {
    "1f1b": "1F1B",
    "interleaved": "Interleaved1F1B",
    "zb-1p": "InterleavedZeroBubble",
    "zbv": "ZBVZeroBubble",
    "dualpipev": "DualPipeV",
}
_RECOMPUTE = {"none": "None", "selective": "SelectiveAC.Config()", "full": "FullAC.Config()"}


def obstacles(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> Iterator[str]:
    """What torchtitan would refuse or ignore."""
    if pool.accelerator.generation not in NVIDIA | AMD:
        yield f"{pool.accelerator.name}, where it needs CUDA or ROCm"
    if plan.rank_map != "node-major":
        yield f"rank_map={plan.rank_map}; it counts ranks node by node"
    if training.optimizer != "adam":
        yield f"the optimizer {training.optimizer}"
    if training.frozen_share and not training.lora_rank:
        yield "frozen weights without adapters"
    rounds = max(1, plan.grad_accum // plan.pp)
    if plan.pp > 1 and plan.schedule in ("interleaved", "zb-1p") and plan.grad_accum % rounds:
        yield f"grad_accum={plan.grad_accum}, not a multiple of its {rounds} rounds"
    if plan.tp > 1 and model.kv_heads % plan.tp and model.latent is None:
        yield f"tp={plan.tp}, which does not divide {model.kv_heads} key-value heads"
    divisor = (plan.tp if plan.sequence_parallel else 1) * (2 * plan.cp if plan.cp > 1 else 1)
    if training.seq_len % divisor:
        yield f"sequences of {training.seq_len} tokens, not a multiple of {divisor} (tp x 2 cp)"
    yield from _model_obstacles(plan, model)


def _model_obstacles(plan: ParallelPlan, model: ModelShape) -> Iterator[str]:
    if flavour(model) is None and not plain_llama(model):
        yield "a shape that is none of its models and no Llama"
    if model.tied and plan.pp > 1:
        yield "tied embeddings with pipeline parallelism"
    if model.prediction_layers and plan.pp * plan.cp > 1:
        yield "layers that predict further tokens, with pipeline or context parallelism"


def modules(plan: ParallelPlan, model: ModelShape) -> list[list[str]]:
    """Names of the modules of each piece, in the order of the model."""
    found: list[list[str]] = []
    first = 0
    for layers in pieces(plan, model):
        found.append([f"layers.{block}" for block in range(first, first + layers)])
        first += layers
    found[0].insert(0, "tok_embeddings")
    found[-1] += ["norm", "lm_head"]
    return found


def _parallelism(plan: ParallelPlan, model: ModelShape) -> dict[str, str]:
    sharded = plan.zero == "fsdp"
    fields = {
        "data_parallel_replicate_degree": plan.dp_replicate if sharded else plan.dp,
        "data_parallel_shard_degree": plan.dp_shard if sharded else 1,
        "context_parallel_degree": plan.cp,
        "tensor_parallel_degree": plan.tp,
        "enable_sequence_parallel": plan.sequence_parallel,
        "expert_parallel_degree": plan.ep,
        "pipeline_parallel_degree": plan.pp,
    }
    found = {name: repr(value) for name, value in fields.items()}
    if plan.pp > 1:
        found["pipeline_parallel_schedule"] = json.dumps(_SCHEDULES[plan.schedule])
        found["pipeline_parallel_microbatch_size"] = repr(plan.micro_batch)
        found["module_fqns_per_model_part"] = "STAGES"
    return found


def _training(plan: ParallelPlan, model: ModelShape, training: Training) -> dict[str, str]:
    # A pipeline cuts its micro-batches out of the local batch; without one they accumulate.
    local = plan.micro_batch * plan.grad_accum if plan.pp > 1 else plan.micro_batch
    whole = plan.precision == "fp32"
    return {
        "local_batch_size": repr(local),
        "global_batch_size": repr(plan.global_batch),
        "seq_len": repr(training.seq_len),
        "steps": "20",
        "mixed_precision_param": '"float32"' if whole else '"bfloat16"',
        # Its CUDA graphs know neither pipelines nor experts that wait for the host.
        "disable_cuda_graphs": repr(plan.pp > 1 or model.experts is not None),
    }


def _converters(plan: ParallelPlan, training: Training) -> tuple[str, str]:
    """Imports and list of what changes the model's matrices."""
    names, made = [], []
    if plan.precision in ("fp8", "mxfp8"):
        kind = "Float8LinearConverter" if plan.precision == "fp8" else "MXFP8LinearConverter"
        skip = 'filter_fqns=["lm_head"], ' if plan.precision == "fp8" else ""
        names.append(f"from torchtitan.components.quantization import {kind}")
        made.append(f"{kind}.Config({skip}model_compile_enabled={compiles(plan)})")
    if training.lora_rank:
        names.append("from torchtitan.components.lora import LoRAConverter")
        made.append(f"LoRAConverter.Config(rank={training.lora_rank})")
    return "\n".join(names), f"[{', '.join(made)}]"


def compiles(plan: ParallelPlan) -> bool:
    """Whether blocks can be compiled: not where a schedule parts the two halves of backward."""
    return plan.pp == 1 or plan.schedule in ("1f1b", "interleaved")


def _call(name: str, fields: dict[str, str]) -> str:
    inside = "".join(f"            {key}={value},\n" for key, value in fields.items())
    return f"{name}(\n{inside}        )"


_MODULE = '''"""A plan of Irongrid for torchtitan 0.3: see launch.sh beside it."""

import os

{imports}

CONVERTERS = {converters}
STAGES = {stages}
{model}

def plan() -> Trainer.Config:
    """The trainer's config; a command line may still override any of it."""
    spec = _model()
    return Trainer.Config(
        loss={loss},
        hf_assets_path=os.environ.get("HF_ASSETS", "./assets/hf"),
        model_spec=spec,
        optimizer=default_adamw(lr=3e-4),
        dataloader=HuggingFaceTextDataLoader.Config(dataset=os.environ.get("DATASET", "c4")),
        training={training},
        parallelism={parallelism},
        activation_checkpoint={recompute},
        compile=CompileConfig(enable=True, components={components}),
    )
'''
_IMPORTS = (
    "from torchtitan.components.optimizer import default_adamw",
    "from torchtitan.config import CompileConfig, ParallelismConfig, TrainingConfig",
    "from torchtitan.hf_datasets.text_datasets import HuggingFaceTextDataLoader",
    "from torchtitan.models.common.config_utils import decoder_vocab_size",
    "from torchtitan.trainer import Trainer",
)


def _stages(plan: ParallelPlan, model: ModelShape) -> str:
    if plan.pp == 1:
        return "None"
    inside = "".join(f"    {json.dumps(names)},\n" for names in modules(plan, model))
    return f"[\n{inside}]"


def _loss(model: ModelShape) -> tuple[str, str]:
    if model.prediction_layers:
        return (
            "from torchtitan.models.deepseek_v3.mtp import MTPLoss",
            "MTPLoss.Config(global_vocab_size=decoder_vocab_size(spec))",
        )
    return (
        "from torchtitan.components.loss import ChunkedLossWrapper, CrossEntropyLoss",
        "ChunkedLossWrapper.Config(\n            loss_fn=CrossEntropyLoss.Config("
        "global_vocab_size=decoder_vocab_size(spec)),\n        )",
    )


def module(plan: ParallelPlan, model: ModelShape, training: Training) -> str:
    """The config module."""
    loss_import, loss = _loss(model)
    converter_imports, converters = _converters(plan, training)
    recompute = {
        "none": "",
        "selective": "from torchtitan.distributed.activation_checkpoint import SelectiveAC",
        "full": "from torchtitan.distributed.activation_checkpoint import FullAC",
    }[plan.recompute]
    wanted = (imports(model), *_IMPORTS, loss_import, converter_imports, recompute)
    return _MODULE.format(
        imports="\n".join(one for one in wanted if one),
        converters=converters,
        stages=_stages(plan, model),
        model=source(model, training.seq_len),
        loss=loss,
        training=_call("TrainingConfig", _training(plan, model, training)),
        parallelism=_call("ParallelismConfig", _parallelism(plan, model)),
        recompute=_RECOMPUTE[plan.recompute],
        components='["model", "loss"]' if compiles(plan) else '["loss"]',
    )


def export(plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool) -> dict[str, str]:
    """The config module, the launcher and the advice."""
    launcher = torchrun(
        plan,
        pool,
        f'-m torchtitan.train --module {MODULE} --config plan "$@"',
        sourced(nccl.FILE),
        'export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"',
        "# HF_ASSETS is a folder with the tokenizer; DATASET one of torchtitan's data sets.",
    )
    return {
        FILE: module(plan, model, training),
        "launch.sh": launcher,
        nccl.FILE: nccl.environment(plan, pool),
        compiling.FILE: compiling.advice("torchtitan", plan, model, training, pool),
    }
