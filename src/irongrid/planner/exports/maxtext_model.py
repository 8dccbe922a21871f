"""A model's shape as MaxText's config names it."""

from typing import Any

from irongrid.domain.model import ModelShape
from irongrid.domain.training import Training


def unbuilt(model: ModelShape) -> str | None:
    """What of the shape no decoder block of MaxText has; None where one has all of it."""
    experts = model.experts
    if model.window:
        return "local attention, whose pattern MaxText fixes by model"
    if experts is not None and experts.shared_ffn % experts.ffn:
        return "shared experts that are no multiple of a routed one"
    if experts is not None and experts.dense_layers and model.latent is None:
        return "dense layers before the experts without latent attention"
    if experts is not None and experts.shared_ffn and model.latent is None:
        return "shared experts without latent attention"
    if not model.gated and (experts is not None or model.latent is not None):
        return "experts or latent attention without gated feed-forward layers"
    if not model.gated and not model.positions:
        return "rotary positions without gated feed-forward layers"
    if model.gated and model.positions:
        return "learned positions with gated feed-forward layers"
    return None


def decoder_block(model: ModelShape) -> str:
    """The style of block that has the shape's parts."""
    if model.latent is not None:
        return "deepseek"
    if model.experts is not None:
        return "mixtral"
    return "llama2" if model.gated else "gpt3"


def _latent(model: ModelShape) -> dict[str, Any]:
    latent = model.latent
    if latent is None:
        return {"head_dim": model.head}
    return {
        "attention_type": "mla",
        "q_lora_rank": latent.query_rank,
        "kv_lora_rank": latent.kv_rank,
        "qk_nope_head_dim": model.head,
        "qk_rope_head_dim": latent.rotary_dim,
        "v_head_dim": latent.value_dim,
    }


def _experts(model: ModelShape) -> dict[str, Any]:
    experts = model.experts
    if experts is None:
        return {}
    found: dict[str, Any] = {
        "num_experts": experts.count,
        "num_experts_per_tok": experts.top_k,
        "base_moe_mlp_dim": experts.ffn,
        "shared_experts": experts.shared_ffn // experts.ffn,
        "first_num_dense_layers": experts.dense_layers,
    }
    if experts.groups > 1:
        found |= {
            "n_routing_groups": experts.groups,
            "topk_routing_group": experts.groups_per_token,
            "routed_score_func": "sigmoid",
            "routed_bias": True,
        }
    return found


def fields(model: ModelShape, training: Training) -> dict[str, Any]:
    """The blocks, attention, experts and embeddings."""
    experts = model.experts
    whole = experts is not None and not experts.dense_layers
    found: dict[str, Any] = {
        "decoder_block": decoder_block(model),
        "base_num_decoder_layers": model.layers,
        "base_emb_dim": model.hidden,
        "base_num_query_heads": model.heads,
        "base_num_kv_heads": model.kv_heads,
        # Where every layer is a mixture, MaxText wants one width under both names.
        "base_mlp_dim": experts.ffn if whole and experts is not None else model.ffn,
        "vocab_size": model.vocab,
        "logits_via_embedding": model.tied,
        "max_target_length": training.seq_len,
        "mlp_activations": ["silu", "linear"] if model.gated else ["gelu"],
        **_latent(model),
        **_experts(model),
    }
    if model.positions:
        found["trainable_position_size"] = max(model.positions, training.seq_len)
    if model.prediction_layers:
        found["mtp_num_layers"] = model.prediction_layers
    return found
