"""A Hugging Face `config.json` as a model's shape.

What a configuration has decides, not what it is called: latent attention, experts and windows are
read from the fields that describe them, so a new family with the usual names works at once. The
table of families only settles what their files leave open; for a family that it lacks, what was
assumed is said. Field names and defaults: the `configuration_*.py` files of transformers 5.24
(2026-11).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from irongrid.domain.model import ModelShape
from irongrid.spec.findings import Finding, Path, quoted, shown
from irongrid.spec.shapes import shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What the files of a model type leave open.

    Attributes:
        tied: whether embedding and output share weights where the file is silent.
        learned: whether positions are learned.
    """

    gated: bool = True
    tied: bool = False
    learned: bool = False
    causal: bool = True


_PLAIN = Family(gated=False, tied=True)
_LEARNED = Family(gated=False, tied=True, learned=True)
_TIED = Family(tied=True)
_ENCODER = Family(gated=False, tied=True, learned=True, causal=False)
FAMILIES: dict[str, Family] = {
    **dict.fromkeys(
        ("llama", "llama4", "llama4_text", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3",
         "qwen3_moe", "deepseek_v2", "deepseek_v3", "kimi_k2", "gpt_oss", "phi3", "phimoe", "olmo",
         "olmo2", "olmoe", "stablelm", "granite", "granitemoe", "glm", "glm4", "glm4_moe", "yi",
         "internlm2", "ernie4_5", "ernie4_5_moe", "smollm3", "exaone4"),
        Family(),
    ),
    **dict.fromkeys(
        ("gemma", "gemma2", "gemma3", "gemma3_text", "cohere", "cohere2"), _TIED
    ),
    **dict.fromkeys(("falcon", "bloom", "mpt"), _PLAIN),
    **dict.fromkeys(("gpt2", "gpt_neo", "gpt_bigcode", "opt"), _LEARNED),
    **dict.fromkeys(
        ("gpt_neox", "gptj", "phi", "codegen", "nemotron", "starcoder2"), Family(gated=False)
    ),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta"), _ENCODER),
}  # fmt: skip

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads")
_FFN = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx")
_EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
_TOP_K = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_top_k", "moe_k")
_EXPERT_FFN = ("moe_intermediate_size", "expert_ffn_hidden_size")
# Activations that come with two matrices, not three; and fields of blocks that do not attend.
_PLAIN_ACTS = ("gelu", "relu", "xielu")
_OTHER_BLOCKS = ("mamba_", "conv_", "ssm_", "hybrid_")
_LOCAL = frozenset({"sliding_attention", "chunked_attention", "local_attention"})


def looks_like_hf(document: Mapping[str, Any]) -> bool:
    """Whether it is such a configuration rather than a file with our own fields."""
    names = {"model_type", "architectures", "transformers_version", *_LAYERS, *_HIDDEN}
    return not names.isdisjoint(document)


def hf_shape(
    document: Mapping[str, Any],
) -> tuple[ModelShape | None, list[Finding], tuple[str, ...]]:
    """The shape, or everything that is wrong; and what was assumed, in words."""
    reader = _Reader(document)
    built = reader.shape()
    return built, reader.findings, tuple(reader.assumed)


class _Reader:
    """Reads one configuration, remembering which of its fields became which of ours."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.findings: list[Finding] = []
        self.assumed: list[str] = []
        self.names: dict[Path, Path] = {}
        self.at: Path = ()
        self.config = document
        inner = document.get("text_config")
        if isinstance(inner, Mapping):
            self.config, self.at = {**inner}, ("text_config",)
            self.assumed.append("only the language model of text_config is counted")
        for group in ("attn_config", "ffn_config"):
            part = self.config.get(group)
            if isinstance(part, Mapping):
                self.config = {**part, **self.config}
        self.type = str(self.config.get("model_type", document.get("model_type", "")))
        self.family = FAMILIES.get(self.type) or self._unknown_family()

    def shape(self) -> ModelShape | None:
        if self.config.get("is_encoder_decoder") is True:
            problem = "describes an encoder and a decoder"
            fix = "Use a decoder-only model, or give the numbers of one half"
            self.findings.append(Finding((*self.at, "is_encoder_decoder"), problem, fix))
            return None
        ours = dict(self._dense())
        self._latent(ours)
        self._experts(ours)
        self._windows(ours)
        if self.findings:
            return None
        built, findings = shape(ours)
        self.findings += [
            Finding(self.names.get(finding.path, finding.path), finding.problem, finding.fix)
            for finding in findings
        ]
        return built

    def _unknown_family(self) -> Family:
        if not self.type:
            self.assumed.append("there is no model_type")
        else:
            self.assumed.append(f"the model_type {quoted(self.type)} is new to us")
        act = str(self.config.get("hidden_act", ""))
        plain = any(name in act for name in _PLAIN_ACTS) or "n_embd" in self.config
        self.assumed.append(
            f"rotary positions and {'two' if plain else 'three'} matrices in a feed-forward layer"
        )
        if any(name.startswith(_OTHER_BLOCKS) for name in self.config):
            self.assumed.append("blocks without attention count as attention")
        return Family(gated=not plain, tied="tie_word_embeddings" not in self.config)

    def _dense(self) -> Iterator[tuple[str, Any]]:
        hidden = self._need("hidden", _HIDDEN)
        heads = self._need("heads", _HEADS)
        yield "layers", self._need("layers", _LAYERS)
        yield "hidden", hidden
        yield "heads", heads
        yield "kv_heads", self._kv_heads(heads)
        yield "ffn", self._ffn(hidden)
        yield "vocab", self._need("vocab", ("vocab_size", "padded_vocab_size"))
        tied = self.config.get("tie_word_embeddings")
        yield "tied", tied if isinstance(tied, bool) else self.family.tied
        yield "gated", self._gated()
        yield "causal", self.family.causal
        head = self._number("head_dim", ("head_dim", "attention_head_dim"), 0)
        if head:
            yield "head_dim", head
        if self.family.learned:
            yield "positions", self._number("positions", _POSITIONS, 0)
        following = self._number("prediction_layers", ("num_nextn_predict_layers",), 0)
        if following:
            yield "prediction_layers", following

    def _gated(self) -> bool:
        return self.family.gated or bool(self.config.get("is_gated_act"))

    def _kv_heads(self, heads: int) -> int:
        """Two families say it by a flag, and name a number all the same; silence means one."""
        falcon = self.type == "falcon" and not self.config.get("new_decoder_architecture")
        if falcon or self.type == "gpt_bigcode":
            return heads if self.config.get("multi_query") is False else 1
        return self._number("kv_heads", _KV_HEADS, heads)

    def _ffn(self, hidden: int) -> int:
        for name in _FFN:
            if self.config.get(name) is not None:
                return self._number("ffn", (name,), 0)
        ratio = self.config.get("expansion_ratio", 4)
        if type(ratio) not in (int, float) or not 0 < ratio <= 1024:
            self._wrong(("expansion_ratio",), "a number above 0", ratio)
            return 0
        if self.type not in FAMILIES:
            self.assumed.append("the feed-forward layer is four times as wide as the model")
        return round(hidden * float(ratio))

    def _latent(self, ours: dict[str, Any]) -> None:
        if not self.config.get("kv_lora_rank"):
            return
        ours["latent"] = {
            "query_rank": self._number("latent.query_rank", ("q_lora_rank",), 0),
            "kv_rank": self._need("latent.kv_rank", ("kv_lora_rank",)),
            "rotary_dim": self._need("latent.rotary_dim", ("qk_rope_head_dim",)),
            "value_dim": self._need("latent.value_dim", ("v_head_dim",)),
        }
        ours["head_dim"] = self._need("head_dim", ("qk_nope_head_dim",))
        ours["kv_heads"] = ours["heads"]

    def _experts(self, ours: dict[str, Any]) -> None:
        count = self._number("experts.count", _EXPERTS, 0)
        if count < 2:
            return
        routed = _EXPERT_FFN if any(self.config.get(name) for name in _EXPERT_FFN) else _FFN
        width = self._need("experts.ffn", routed)
        shared = self._number("experts.shared_ffn", ("shared_expert_intermediate_size",), 0)
        number = self._number("experts.shared_ffn", ("n_shared_experts", "num_shared_experts"), 0)
        layers = ours["layers"]
        ours["experts"] = {
            "count": count,
            "top_k": self._need("experts.top_k", _TOP_K),
            "ffn": width,
            "shared_ffn": shared or number * width,
            "dense_layers": self._dense_layers(layers),
            "groups": self._number("experts.groups", ("n_group",), 1) or 1,
            "groups_per_token": self._number("experts.groups_per_token", ("topk_group",), 1) or 1,
        }
        if self.type.startswith("llama4"):
            ours["experts"]["shared_ffn"] = width
            ours["ffn"] = self._number("ffn", ("intermediate_size_mlp",), ours["ffn"])

    def _dense_layers(self, layers: int) -> int:
        """Blocks without experts, in whichever of the ways a file may say so."""
        only = self.config.get("mlp_only_layers")
        first = self._number("experts.dense_layers", ("first_k_dense_replace",), 0)
        every = self._number(
            "experts.dense_layers",
            ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq"),
            1,
        )
        if isinstance(only, list) and only:
            first += len(only)
        if every > 1:
            return min(layers, first + (layers - first) - (layers - first) // every)
        return first

    def _windows(self, ours: dict[str, Any]) -> None:
        window = self._number("window", ("sliding_window", "attention_chunk_size"), 0)
        kinds = self.config.get("layer_types")
        if isinstance(kinds, list) and any("linear" in str(item) for item in kinds):
            self.assumed.append("layers with linear attention count as ordinary attention")
        if not window or self.config.get("use_sliding_window") is False:
            return
        layers = ours["layers"]
        pattern = self._number("windowed_layers", ("sliding_window_pattern",), 0)
        if isinstance(kinds, list):
            local = sum(1 for item in kinds[:layers] if item in _LOCAL)
        elif pattern > 1:
            local = layers - layers // pattern
        elif self.type in ("gemma2", "gpt_oss"):
            local = layers // 2
        elif "max_window_layers" in self.config:
            first = self._number("windowed_layers", ("max_window_layers",), layers)
            local = max(0, layers - first)
        else:
            local = layers
        if local:
            ours["window"], ours["windowed_layers"] = window, local

    def _need(self, ours: str, names: tuple[str, ...]) -> int:
        """A number that must be there, and above zero."""
        for name in names:
            if self.config.get(name) is not None:
                return self._number(ours, (name,), 0, least=1)
        also = f", or {', '.join(names[1:])}" if len(names) > 1 else ""
        fix = f"Add {names[0]}{also}: the model's configuration on the hub has it"
        self.findings.append(Finding((*self.at, names[0]), "is required", fix))
        return 0

    def _number(self, ours: str, names: tuple[str, ...], default: int, *, least: int = 0) -> int:
        for name in names:
            value = self.config.get(name)
            if value is None:
                continue
            self.names[tuple(ours.split("."))] = (*self.at, name)
            if type(value) is int and least <= value <= 2**31:
                return int(value)
            self._wrong((name,), f"a whole number from {least} to {2**31}", value)
            return default
        return default

    def _wrong(self, path: Path, expected: str, value: object) -> None:
        where = (*self.at, *path)
        if all(finding.path != where for finding in self.findings):
            problem = f"expected {expected}, got {shown(value)}"
            self.findings.append(Finding(where, problem, "Write the model's own number"))
