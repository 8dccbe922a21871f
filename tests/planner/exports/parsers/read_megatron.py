"""Build Megatron-Core's own configs from argument files, as Megatron-LM does from its arguments.

The wheel of Megatron-Core holds no argument parser. Megatron-LM fills the dataclasses by equal
names and a few renamings, which are repeated here.
"""

import dataclasses
import json
import shlex
import sys
from pathlib import Path

import torch
from megatron.core.distributed import DistributedDataParallelConfig
from megatron.core.optimizer import OptimizerConfig, optimizer_config
from megatron.core.transformer.enums import LayerType
from megatron.core.transformer.pipeline_parallel_layer_layout import PipelineParallelLayerLayout
from megatron.core.transformer.transformer_config import MLATransformerConfig, TransformerConfig
from torch.nn.functional import silu

# Transformer Engine needs a GPU to be built; the config asks for its version only.
optimizer_config.is_te_min_version = lambda version, **_: True

# Options that its training loop reads, or that pick one of the configs' fields.
LOOP = {
    "seq_length", "max_position_embeddings", "position_embedding_type", "micro_batch_size",
    "global_batch_size", "untie_embeddings_and_output_weights", "group_query_attention",
    "use_mcore_models", "ckpt_format", "multi_latent_attention", "init_model_with_meta_device",
    "num_virtual_stages_per_pipeline_rank", "exp_avg_dtype", "exp_avg_sq_dtype",
}  # fmt: skip
RENAMED = {
    "num_experts": "num_moe_experts",
    "fp8_format": "fp8",
    "fp4_format": "fp4",
    "swiglu": "gated_linear_unit",
}
NEGATED = {
    "no_gradient_accumulation_fusion": "gradient_accumulation_fusion",
    "disable_bias_linear": "add_bias_linear",
}
PARAMS = {torch.bfloat16: ("bf16",), torch.float16: ("fp16",)}


def value(text: str) -> object:
    if text.startswith("["):
        return eval(text)  # a pattern such as [0]*3+[1]*58, which Megatron-LM evaluates too
    if "," in text and all(part.isdigit() for part in text.split(",")):
        return tuple(map(int, text.split(",")))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def arguments(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        name, *values = shlex.split(line)
        key = name.removeprefix("--").replace("-", "_")
        found[RENAMED.get(key, key)] = value(values[0]) if values else True
    for negated, name in NEGATED.items():
        if found.pop(negated, False):
            found[name] = False
    return found


def picked(kind: type, found: dict[str, object]) -> dict[str, object]:
    names = {one.name for one in dataclasses.fields(kind)}
    return {name: value for name, value in found.items() if name in names}


def read(path: Path) -> dict[str, object]:
    found = arguments(path)
    latent = bool(found.get("multi_latent_attention"))
    kind = MLATransformerConfig if latent else TransformerConfig
    kinds = (kind, DistributedDataParallelConfig, OptimizerConfig)
    known = {one.name for each in kinds for one in dataclasses.fields(each)}
    unknown = sorted(set(found) - known - LOOP)
    if "recompute_modules" in found:
        found["recompute_modules"] = [found["recompute_modules"]]
    model = picked(kind, found) | {"pipeline_dtype": torch.bfloat16}
    if found.get("gated_linear_unit"):
        model["activation_func"] = silu
    virtual = found.get("num_virtual_stages_per_pipeline_rank")
    if virtual:
        model["virtual_pipeline_model_parallel_size"] = virtual
    config = kind(**model)
    layout = config.pipeline_model_parallel_layout
    if isinstance(layout, str):
        layout = PipelineParallelLayerLayout(layout, config.pipeline_model_parallel_size)
    if isinstance(layout, PipelineParallelLayerLayout):
        layout.validate_layer_layout(config.num_layers, config.mtp_num_layers)
        stages = [sum(row.count(LayerType.decoder) for row in stage) for stage in layout.layout]
    else:
        stages = []
    data = DistributedDataParallelConfig(**picked(DistributedDataParallelConfig, found))
    optimizer = picked(OptimizerConfig, found)
    for moment in ("exp_avg_dtype", "exp_avg_sq_dtype"):
        if optimizer.get(moment) == "fp8":
            optimizer[moment] = torch.uint8
    if "bf16" in found:
        optimizer["params_dtype"] = torch.bfloat16
    made = OptimizerConfig(**optimizer)
    return {
        "unknown": unknown,
        "stages": stages,
        "config": {
            one.name: getattr(config, one.name)
            for one in dataclasses.fields(config)
            if isinstance(getattr(config, one.name), int | float | str | list | None)
        },
        "distributed": {
            "use_distributed_optimizer": data.use_distributed_optimizer,
            "strategy": data.data_parallel_sharding_strategy,
            "overlap": data.overlap_grad_reduce,
        },
        "optimizer": {"offload": made.optimizer_cpu_offload, "name": made.optimizer},
        "loop": {name: found[name] for name in LOOP & set(found)},
    }


answer = {Path(one).name: read(Path(one) / "megatron.args") for one in sys.argv[1:]}
sys.stdout.write(json.dumps(answer) + "\n")
