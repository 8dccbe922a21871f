"""The shape of a decoder-only transformer, and the presets that name one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A dense decoder-only transformer: RoPE, RMSNorm, SwiGLU, grouped-query attention.

    Attributes:
        layers: transformer blocks.
        hidden: width of the residual stream.
        heads: query heads; `hidden / heads` is the head size.
        kv_heads: key and value heads; divides `heads`.
        ffn: width of the SwiGLU's inner layer.
        vocab: tokens in the vocabulary.
        tied: whether embedding and output share their weights.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    tied: bool = True

    @property
    def parameters(self) -> int:
        """Weights of the model, norms included; no biases anywhere."""
        head = self.hidden // self.heads
        attention = self.hidden * head * (2 * self.heads + 2 * self.kv_heads)
        block = attention + 3 * self.hidden * self.ffn + 2 * self.hidden
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        return self.layers * block + embeddings + self.hidden


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
