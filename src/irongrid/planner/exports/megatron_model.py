"""A model's shape as options of Megatron-LM."""

from collections.abc import Iterator

from irongrid.domain.model import Experts, Latent, ModelShape
from irongrid.domain.training import Training

Option = tuple[str, str | int | float | None]


def _attention(model: ModelShape) -> Iterator[Option]:
    yield "--num-attention-heads", model.heads
    if model.latent is not None:
        return
    yield "--kv-channels", model.head
    if model.kv_heads != model.heads:
        yield "--group-query-attention", None
        yield "--num-query-groups", model.kv_heads
    if model.window:
        # So many tokens back, none ahead.
        yield "--window-size", f"{model.window - 1},0"
        if 0 < model.windowed_layers < model.layers:
            yield "--window-attn-skip-freq", model.layers // model.windowed_layers


def _latent(latent: Latent, model: ModelShape) -> Iterator[Option]:
    yield "--multi-latent-attention", None
    if latent.query_rank:
        yield "--q-lora-rank", latent.query_rank
    yield "--kv-lora-rank", latent.kv_rank
    yield "--qk-head-dim", model.head
    yield "--qk-pos-emb-head-dim", latent.rotary_dim
    yield "--v-head-dim", latent.value_dim


def _positions(model: ModelShape, training: Training) -> Iterator[Option]:
    yield "--seq-length", training.seq_len
    if model.positions:
        yield "--position-embedding-type", "learned_absolute"
        yield "--max-position-embeddings", max(model.positions, training.seq_len)
    else:
        yield "--position-embedding-type", "rope"
        yield "--max-position-embeddings", training.seq_len


def _experts(experts: Experts, model: ModelShape) -> Iterator[Option]:
    yield "--num-experts", experts.count
    yield "--moe-ffn-hidden-size", experts.ffn
    yield "--moe-router-topk", experts.top_k
    if experts.shared_ffn:
        yield "--moe-shared-expert-intermediate-size", experts.shared_ffn
    if experts.dense_layers:
        yield (
            "--moe-layer-freq",
            f"[0]*{experts.dense_layers}+[1]*{model.layers - experts.dense_layers}",
        )
    if experts.groups > 1:
        # Sigmoid scores with a bias that balances the load go with groups of experts:
        # DeepSeek-V3, arXiv:2412.19437, section 2.1.2 (2024-12).
        yield "--moe-router-num-groups", experts.groups
        yield "--moe-router-group-topk", experts.groups_per_token
        yield "--moe-router-score-function", "sigmoid"
        yield "--moe-router-enable-expert-bias", None
        yield "--moe-router-load-balancing-type", "seq_aux_loss"
    else:
        yield "--moe-router-load-balancing-type", "aux_loss"
        yield "--moe-aux-loss-coeff", 0.01
    yield "--moe-router-dtype", "fp32"
    yield "--moe-token-dispatcher-type", "alltoall"
    yield "--moe-grouped-gemm", None


def model_options(model: ModelShape, training: Training) -> Iterator[Option]:
    """The blocks, attention, positions, experts and embeddings."""
    yield "--num-layers", model.layers
    yield "--hidden-size", model.hidden
    yield "--ffn-hidden-size", model.ffn
    yield from _attention(model)
    if model.latent is not None:
        yield from _latent(model.latent, model)
    yield from _positions(model, training)
    if model.gated:
        yield "--swiglu", None
        yield "--normalization", "RMSNorm"
        yield "--disable-bias-linear", None
    if not model.tied:
        yield "--untie-embeddings-and-output-weights", None
    if model.experts is not None:
        yield from _experts(model.experts, model)
    if model.prediction_layers:
        yield "--mtp-num-layers", model.prediction_layers
    yield "--attention-dropout", 0.0
    yield "--hidden-dropout", 0.0
    yield "--use-mcore-models", None
    yield "--transformer-impl", "transformer_engine"
