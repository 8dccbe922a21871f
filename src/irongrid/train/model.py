"""The decoder-only transformer behind a `ModelShape`.

RoPE, RMSNorm, SwiGLU and grouped-query attention, as in "The Llama 3 Herd of Models",
arXiv:2407.21783, 2024. Parameter names are global: they do not depend on how ranks share the model.

Shape suffixes: B micro-batch, S sequence, D hidden, H query heads, K key and value heads,
C channels of one head, F inner width of the feed-forward layer, V vocabulary.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from irongrid.domain.model import ModelShape

NORM_EPSILON = 1e-5
# Base of the rotary angles: RoFormer, arXiv:2104.09864, section 3.4.2.
ROPE_BASE = 10_000.0


class Linear(nn.Module):
    """A bias-free projection. Unlike `nn.Linear` it leaves its weight unset: see `initial`."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_out, width_in))

    def forward(self, x: Tensor) -> Tensor:
        """Project the last dim."""
        return functional.linear(x, self.weight)


class RMSNorm(nn.Module):
    """Divide by the root mean square and scale: arXiv:1910.07467."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Normalise the last dim."""
        return functional.rms_norm(x_BSD, self.weight.shape, self.weight, NORM_EPSILON)


class Rotary:
    """Angles of the rotary position embedding, computed once per device and length.

    Not a module: as plain tensors the tables are neither cast nor moved nor sharded with the model.
    """

    def __init__(self, head: int) -> None:
        self.head = head
        self._tables: tuple[Tensor, Tensor] | None = None

    def tables(self, seq_len: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosine and sine tables of shape [S, C/2], in fp32."""
        known = self._tables
        if known is not None and known[0].shape[0] >= seq_len and known[0].device == device:
            return known[0][:seq_len], known[1][:seq_len]
        exponent = torch.arange(0, self.head, 2, dtype=torch.float64) / self.head
        position = torch.arange(seq_len, dtype=torch.float64)
        angle = torch.outer(position, ROPE_BASE**-exponent)
        cos, sin = angle.cos().float().to(device), angle.sin().float().to(device)
        self._tables = (cos, sin)
        return cos, sin

    def turn(self, x_BSHC: Tensor) -> Tensor:
        """Rotate channel pairs (i, i + C/2) by their position's angle; keeps the dtype."""
        cos_SC, sin_SC = self.tables(x_BSHC.shape[1], x_BSHC.device)
        cos, sin = cos_SC[:, None], sin_SC[:, None]
        low, high = x_BSHC.float().chunk(2, dim=-1)
        turned = torch.cat((low * cos - high * sin, low * sin + high * cos), dim=-1)
        return turned.to(x_BSHC.dtype)


class Attention(nn.Module):
    """Causal attention in which groups of query heads share a key and a value head."""

    def __init__(self, shape: ModelShape, rotary: Rotary) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head = shape.heads, shape.kv_heads, rotary.head
        self.rotary = rotary
        self.wq = Linear(shape.hidden, shape.heads * self.head)
        self.wk = Linear(shape.hidden, shape.kv_heads * self.head)
        self.wv = Linear(shape.hidden, shape.kv_heads * self.head)
        self.wo = Linear(shape.heads * self.head, shape.hidden)

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Mix positions; each sees itself and what came before."""
        B, S, _ = x_BSD.shape
        q_BSHC = self.rotary.turn(self.wq(x_BSD).view(B, S, self.heads, self.head))
        k_BSKC = self.rotary.turn(self.wk(x_BSD).view(B, S, self.kv_heads, self.head))
        v_BSKC = self.wv(x_BSD).view(B, S, self.kv_heads, self.head)
        mixed_BHSC = functional.scaled_dot_product_attention(
            q_BSHC.transpose(1, 2),
            k_BSKC.transpose(1, 2),
            v_BSKC.transpose(1, 2),
            is_causal=True,
            enable_gqa=self.heads != self.kv_heads,
        )
        out_BSD: Tensor = self.wo(mixed_BHSC.transpose(1, 2).reshape(B, S, -1))
        return out_BSD


class FeedForward(nn.Module):
    """SwiGLU: arXiv:2002.05202."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.w_gate = Linear(shape.hidden, shape.ffn)
        self.w_up = Linear(shape.hidden, shape.ffn)
        self.w_down = Linear(shape.ffn, shape.hidden)

    def forward(self, x_BSD: Tensor) -> Tensor:
        """Each position by itself."""
        inner_BSF = functional.silu(self.w_gate(x_BSD)) * self.w_up(x_BSD)
        out_BSD: Tensor = self.w_down(inner_BSF)
        return out_BSD


class Block(nn.Module):
    """Attention, then feed-forward, each behind a norm and beside a residual path."""

    def __init__(self, shape: ModelShape, rotary: Rotary) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(shape.hidden)
        self.attention = Attention(shape, rotary)
        self.feed_forward_norm = RMSNorm(shape.hidden)
        self.feed_forward = FeedForward(shape)

    def forward(self, x_BSD: Tensor) -> Tensor:
        """One layer."""
        h_BSD: Tensor = x_BSD + self.attention(self.attention_norm(x_BSD))
        out_BSD: Tensor = h_BSD + self.feed_forward(self.feed_forward_norm(h_BSD))
        return out_BSD


class Embedding(nn.Module):
    """One row per token."""

    def __init__(self, vocab: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab, width))

    def forward(self, tokens_BS: Tensor) -> Tensor:
        """Look the rows up."""
        return functional.embedding(tokens_BS, self.weight)


class Transformer(nn.Module):
    """The whole model. Weights are unset until `initial.fill` or a checkpoint sets them."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        rotary = Rotary(shape.hidden // shape.heads)
        self.embedding = Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(Block(shape, rotary) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.hidden)
        self.output = None if shape.tied else Linear(shape.hidden, shape.vocab)

    def forward(self, tokens_BS: Tensor) -> Tensor:
        """Logits of the token after each position, [B, S, V]."""
        h_BSD = self.embedding(tokens_BS)
        for layer in self.layers:
            h_BSD = layer(h_BSD)
        h_BSD = self.norm(h_BSD)
        if self.output is None:
            return functional.linear(h_BSD, self.embedding.weight)
        logits_BSV: Tensor = self.output(h_BSD)
        return logits_BSV


def next_token_loss(logits_BSV: Tensor, targets_BS: Tensor) -> Tensor:
    """Mean cross-entropy in nats per token, computed in fp32."""
    return functional.cross_entropy(logits_BSV.float().flatten(0, 1), targets_BS.flatten())
