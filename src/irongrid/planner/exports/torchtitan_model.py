"""A model's shape as torchtitan writes it: one of its own, or a Llama of other sizes."""

from dataclasses import dataclass

from irongrid.domain.model import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """A model that torchtitan brings: `torchtitan.models.<module>`, `model_registry(<name>)`."""

    module: str
    name: str


# By blocks, width, query heads, inner width (of an expert where there are some), experts.
# Source: torchtitan 0.3.0, models/*/__init__.py (2026-09).
_FLAVOURS: dict[tuple[int, int, int, int, int], Flavour] = {
    (16, 2048, 32, 8192, 0): Flavour(module="llama3", name="1B"),
    (28, 3072, 24, 8192, 0): Flavour(module="llama3", name="3B"),
    (32, 4096, 32, 14336, 0): Flavour(module="llama3", name="8B"),
    (80, 8192, 64, 28672, 0): Flavour(module="llama3", name="70B"),
    (126, 16384, 128, 53248, 0): Flavour(module="llama3", name="405B"),
    (28, 2048, 16, 6144, 0): Flavour(module="qwen3", name="1.7B"),
    (36, 2560, 32, 9728, 0): Flavour(module="qwen3", name="4B"),
    (36, 4096, 32, 12288, 0): Flavour(module="qwen3", name="8B"),
    (40, 5120, 40, 17408, 0): Flavour(module="qwen3", name="14B"),
    (64, 5120, 64, 25600, 0): Flavour(module="qwen3", name="32B"),
    (48, 2048, 32, 768, 128): Flavour(module="qwen3", name="30B-A3B"),
    (94, 4096, 64, 1536, 128): Flavour(module="qwen3", name="235B-A22B"),
    (24, 2880, 64, 2880, 32): Flavour(module="gpt_oss", name="20b"),
    (36, 2880, 64, 2880, 128): Flavour(module="gpt_oss", name="120b"),
    (27, 2048, 16, 1408, 64): Flavour(module="deepseek_v3", name="16B"),
    (60, 5120, 128, 1536, 160): Flavour(module="deepseek_v3", name="236B"),
    (61, 7168, 128, 2048, 256): Flavour(module="deepseek_v3", name="671B"),
}
# Vocabularies of those flavours; a model of another vocabulary is another model.
_VOCABULARIES = {
    "llama3": (128256,),
    "qwen3": (151936,),
    "gpt_oss": (201088,),
    "deepseek_v3": (102400, 129280),
}

_LLAMA = '''
def _model() -> ModelSpec:
    """A Llama of this plan's sizes, from torchtitan's own blocks."""
    normal = {{"weight": partial(nn.init.trunc_normal_, std=0.02), "bias": nn.init.zeros_}}
    ones = {{"weight": nn.init.ones_}}
    dim, heads, kv_heads, layers, vocab = {hidden}, {heads}, {kv_heads}, {layers}, {vocab}
    rope = ComplexRoPE.Config(dim=dim // heads, max_seq_len={tokens}, theta=500000)
    blocks = [
        Llama3TransformerBlock.Config(
            attention_norm=RMSNorm.Config(normalized_shape=dim, param_init=ones),
            ffn_norm=RMSNorm.Config(normalized_shape=dim, param_init=ones),
            attention=make_gqa_config(
                dim=dim,
                n_heads=heads,
                n_kv_heads=kv_heads,
                wqkv_param_init=normal,
                wo_param_init=normal,
                inner_attention=get_attention_config("flex"),
                fuse_qkv=True,
                rope=rope,
            ),
            feed_forward=make_ffn_config(
                dim=dim, hidden_dim={ffn}, w1_param_init=normal, w2w3_param_init=normal
            ),
        )
        for _ in range(layers)
    ]
    config = Llama3Model.Config(
        dim=dim,
        vocab_size=vocab,
        enable_weight_tying={tied},
        tok_embeddings=Embedding.Config(
            num_embeddings=vocab, embedding_dim=dim, param_init=normal
        ),
        norm=RMSNorm.Config(normalized_shape=dim, param_init=ones),
        lm_head=Linear.Config(in_features=dim, out_features=vocab, param_init=normal),
        layers=blocks,
    )
    for converter in CONVERTERS:
        config = converter.build().convert(config)
    return ModelSpec(
        name="llama3",
        flavor="irongrid",
        model=config,
        parallelize_fn=parallelize_llama,
        pipelining_fn=pipeline_llm,
        post_optimizer_build_fn=None,
        state_dict_adapter=None,
    )
'''

_LLAMA_IMPORTS = """from functools import partial

import torch.nn as nn
from torchtitan.distributed.pipeline_parallel import pipeline_llm
from torchtitan.models.common import ComplexRoPE, Embedding, Linear, RMSNorm
from torchtitan.models.common.config_utils import (
    get_attention_config,
    make_ffn_config,
    make_gqa_config,
)
from torchtitan.models.llama3 import Llama3Model, parallelize_llama
from torchtitan.models.llama3.model import Llama3TransformerBlock
from torchtitan.protocols.model_spec import ModelSpec"""


def flavour(model: ModelShape) -> Flavour | None:
    """The model of torchtitan's own that has this shape."""
    experts = model.experts
    key = (
        model.layers,
        model.hidden,
        model.heads,
        experts.ffn if experts is not None else model.ffn,
        experts.count if experts is not None else 0,
    )
    found = _FLAVOURS.get(key)
    if found is None or model.vocab not in _VOCABULARIES[found.module]:
        return None
    return found


def plain_llama(model: ModelShape) -> bool:
    """Whether the shape is a Llama of some size."""
    return (
        model.gated
        and model.experts is None
        and model.latent is None
        and not (model.window or model.positions or model.prediction_layers)
        and model.head * model.heads == model.hidden
    )


def imports(model: ModelShape) -> str:
    """The imports that `source` needs."""
    found = flavour(model)
    if found is None:
        return _LLAMA_IMPORTS
    return f"from torchtitan.models.{found.module} import model_registry"


def source(model: ModelShape, seq_len: int) -> str:
    """A function `_model` that builds the shape, with the list CONVERTERS applied."""
    found = flavour(model)
    if found is None:
        return _LLAMA.format(
            hidden=model.hidden,
            heads=model.heads,
            kv_heads=model.kv_heads,
            layers=model.layers,
            vocab=model.vocab,
            ffn=model.ffn,
            tied=model.tied,
            tokens=seq_len,
        )
    further = f", num_mtp_layers={model.prediction_layers}" if model.prediction_layers else ""
    return (
        "\n\ndef _model():\n"
        f'    """{found.module} {found.name}, as torchtitan brings it."""\n'
        f'    return model_registry("{found.name}", attn_backend="flex", '
        f"converters=CONVERTERS or None{further})\n"
    )
