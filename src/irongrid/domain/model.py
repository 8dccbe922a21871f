"""The shape of a decoder-only transformer, and the presets that name one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention: keys and values are kept as one narrow vector per token.

    Attributes:
        query_rank: width of the compressed query; 0 where the query is not compressed.
        kv_rank: width of the compressed keys and values.
        rotary_dim: dimensions of a head that carry the position, shared by all heads.
        value_dim: width of a value head.

    Source: DeepSeek-V2, arXiv:2405.04434, section 2.1 (2024-05).
    """

    query_rank: int
    kv_rank: int
    rotary_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The routed part of a mixture of experts.

    Attributes:
        count: routed experts of a layer.
        top_k: routed experts that see one token.
        ffn: inner width of one routed expert.
        shared_ffn: inner width of all experts that every token passes, together; 0 is none.
        dense_layers: blocks that keep a dense feed-forward layer instead.
        groups: node groups of experts to which a token's choice is limited; 1 is no limit.
        groups_per_token: how many of these groups one token may use.
    """

    count: int
    top_k: int
    ffn: int
    shared_ffn: int = 0
    dense_layers: int = 0
    groups: int = 1
    groups_per_token: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A stack of transformer blocks: dense or with experts, with any of the usual attentions.

    The built-in recipe trains the dense ones with RoPE, RMSNorm, SwiGLU and grouped-query
    attention; the planner knows them all.

    Attributes:
        layers: transformer blocks.
        hidden: width of the residual stream.
        heads: query heads.
        kv_heads: key and value heads; divides `heads`.
        ffn: inner width of a dense feed-forward layer.
        vocab: tokens in the vocabulary; 0 for a model without one, such as a diffusion transformer.
        tied: whether embedding and output share their weights.
        head_dim: width of a head; 0 is `hidden / heads`.
        gated: whether the feed-forward layer has three matrices (SwiGLU) or two (GELU).
        positions: learned positions; 0 where positions are rotary.
        causal: whether a token sees only those before it.
        window: tokens that local attention sees; 0 is all.
        windowed_layers: how many blocks attend locally.
        conditioning: width of the vector that modulates each block (a diffusion transformer's
            adaptive norm); 0 is none.
        prediction_layers: extra blocks that predict further tokens (DeepSeek-V3's MTP).
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    tied: bool = True
    head_dim: int = 0
    gated: bool = True
    positions: int = 0
    causal: bool = True
    window: int = 0
    windowed_layers: int = 0
    conditioning: int = 0
    prediction_layers: int = 0
    experts: Experts | None = None
    latent: Latent | None = None

    @property
    def head(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden // self.heads

    @property
    def attention_parameters(self) -> int:
        """Weights of one block's attention."""
        if self.latent is None:
            return self.hidden * self.head * (2 * self.heads + 2 * self.kv_heads)
        latent, wide = self.latent, self.head + self.latent.rotary_dim
        query = (
            latent.query_rank * (self.hidden + self.heads * wide)
            if latent.query_rank
            else self.hidden * self.heads * wide
        )
        down = self.hidden * (latent.kv_rank + latent.rotary_dim)
        up = latent.kv_rank * self.heads * (self.head + latent.value_dim)
        return query + down + up + self.heads * latent.value_dim * self.hidden

    def feed_forward_parameters(self, width: int) -> int:
        """Weights of one feed-forward layer of this inner width."""
        return (3 if self.gated else 2) * self.hidden * width

    @property
    def expert_layers(self) -> int:
        """Blocks whose feed-forward layer is a mixture of experts."""
        return self.layers - self.experts.dense_layers if self.experts is not None else 0

    @property
    def block_parameters(self) -> int:
        """Weights of one dense block: attention, feed-forward layer, two norms, conditioning."""
        modulation = 6 * self.conditioning * self.hidden
        dense = self.feed_forward_parameters(self.ffn)
        return self.attention_parameters + dense + 2 * self.hidden + modulation

    @property
    def embedding_parameters(self) -> int:
        """Weights of embedding, output layer and learned positions."""
        return self.vocab * self.hidden * (1 if self.tied else 2) + self.positions * self.hidden

    def _parameters(self, experts_seen: int | None) -> int:
        """Weights when so many routed experts count; None is all of them."""
        total = (self.layers + self.prediction_layers) * self.block_parameters
        total += self.embedding_parameters + self.hidden
        if self.experts is not None:
            experts = self.experts
            routed = experts.count if experts_seen is None else experts_seen
            mixture = routed * self.feed_forward_parameters(experts.ffn)
            mixture += self.feed_forward_parameters(experts.shared_ffn)
            mixture += experts.count * self.hidden - self.feed_forward_parameters(self.ffn)
            total += (self.expert_layers + self.prediction_layers) * mixture
        return total

    @property
    def parameters(self) -> int:
        """Weights of the model, norms and router included; no biases anywhere."""
        return self._parameters(None)

    @property
    def active_parameters(self) -> int:
        """Weights that one token passes, embeddings included."""
        return self._parameters(self.experts.top_k if self.experts is not None else None)


def _shape(
    layers: int, hidden: int, heads: int, kv_heads: int, ffn: int, vocab: int, *, tied: bool
) -> ModelShape:
    return ModelShape(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        ffn=ffn,
        vocab=vocab,
        tied=tied,
    )


# The llama3 rows follow "The Llama 3 Herd of Models", arXiv:2407.21783, table 3 (2024-07);
# llama2-13b follows arXiv:2307.09288 (2023-07). The small ones are ours, for laptops and tests.
PRESETS: dict[str, ModelShape] = {
    "llama-1m": _shape(4, 128, 4, 2, 352, 2048, tied=True),
    "llama-3m": _shape(6, 176, 4, 2, 480, 4096, tied=True),
    "llama-20m": _shape(8, 416, 8, 4, 1120, 8192, tied=True),
    "llama-60m": _shape(10, 640, 10, 5, 1728, 16384, tied=True),
    "llama-160m": _shape(12, 768, 12, 12, 2048, 32000, tied=False),
    "llama-410m": _shape(24, 1024, 16, 8, 2816, 32000, tied=False),
    "llama-1b": _shape(16, 2048, 32, 8, 8192, 128256, tied=True),
    "llama-3b": _shape(28, 3072, 24, 8, 8192, 128256, tied=True),
    "llama3-8b": _shape(32, 4096, 32, 8, 14336, 128256, tied=False),
    "llama2-13b": _shape(40, 5120, 40, 40, 13824, 32000, tied=False),
    "llama3-70b": _shape(80, 8192, 64, 8, 28672, 128256, tied=False),
}
