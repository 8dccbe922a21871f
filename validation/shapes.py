"""The model of a measured row: its own numbers, over what its name is known by."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from validation.fields import assume, positive
from validation.names import is_gated, plain, shape_by_size, shape_of, usual_vocab

from irongrid.domain.model import Experts, ModelShape


def shape_of_row(fields: Mapping[str, str], assumed: list[str]) -> ModelShape:
    """The model: the row's own numbers, over the shape that its name is known by."""
    name = fields.get("model", "")
    known = shape_of(name)
    layers, hidden = positive(fields, "layers"), positive(fields, "hidden")
    if known is None and (layers is None or hidden is None):
        size = positive(fields, "params_b") or _size_in(name)
        guess = shape_by_size(size or assume(assumed, "params_b", 7))
        hidden = hidden or assume(assumed, "hidden", guess[0])
        layers = layers or assume(assumed, "layers", guess[1])
    base = known or _guessed(fields, name, int(layers or 1), int(hidden or 1), assumed)
    if known is not None and not (layers and hidden):
        assumed.append(f"architecture of {name}")
    return _override(base, fields, assumed)


def _size_in(name: str) -> float | None:
    """The count of weights, in 1e9, that a name such as `GPT-18.4B` carries."""
    found = re.search(r"(\d+(?:\.\d+)?)\s*([bmt])(?![a-z])", name.lower())
    scale = {"b": 1.0, "m": 1e-3, "t": 1e3}
    return float(found[1]) * scale[found[2]] if found else None


def _guessed(
    fields: Mapping[str, str], name: str, layers: int, hidden: int, assumed: list[str]
) -> ModelShape:
    heads = positive(fields, "heads") or assume(assumed, "heads", max(hidden // 128, 1))
    gated = is_gated(name)
    ffn = positive(fields, "ffn")
    if ffn is None:
        ffn = assume(assumed, "ffn", round(hidden * (8 / 3 if gated else 4)))
    vocab = positive(fields, "vocab")
    if vocab is None:
        left = _weights_left(fields, layers, hidden, int(ffn), gated)
        vocab = assume(assumed, "vocab", usual_vocab(left, hidden))
    if plain(name).startswith("mpt"):
        gated = False
    return ModelShape(
        layers=layers, hidden=hidden, heads=int(heads), kv_heads=int(heads), ffn=int(ffn),
        vocab=int(vocab), gated=gated, tied=not gated,
    )  # fmt: skip


def _weights_left(
    fields: Mapping[str, str], layers: int, hidden: int, ffn: int, gated: bool
) -> tuple[float, float] | None:
    """Weights that the printed count leaves for the embedding, at least and at most."""
    printed = fields.get("params_b", "")
    if not printed or not positive(fields, "params_b"):
        return None
    half = 0.5 * 10.0 ** -len(printed.partition(".")[2]) * 1e9
    blocks = layers * (4.0 * hidden**2 + (3 if gated else 2) * hidden * ffn + 13 * hidden)
    return float(printed) * 1e9 - half - blocks, float(printed) * 1e9 + half - blocks


def _override(base: ModelShape, fields: Mapping[str, str], assumed: list[str]) -> ModelShape:
    """The row's own numbers where it has them. A latent or hybrid shape keeps its heads."""
    numbers = {k: positive(fields, k) for k in ("layers", "hidden", "heads", "kv_heads", "vocab")}
    if base.latent is not None:
        numbers["heads"] = numbers["kv_heads"] = None
    changes: dict[str, Any] = {key: int(value) for key, value in numbers.items() if value}
    head = base.head_dim
    if "heads" in changes and not head and changes.get("hidden", base.hidden) % changes["heads"]:
        head = max(changes.get("hidden", base.hidden) // changes["heads"], 1)
    if "heads" in changes and "kv_heads" not in changes and base.kv_heads == base.heads:
        changes["kv_heads"] = changes["heads"]
    shape = replace(base, head_dim=head, **changes)
    ffn = positive(fields, "ffn")
    count, top_k = positive(fields, "experts"), positive(fields, "topk")
    if shape.experts is None and count and count > 1:
        width = int(ffn or shape.ffn)
        experts = Experts(
            count=int(count), top_k=int(top_k or assume(assumed, "topk", 2)), ffn=width
        )
        return replace(shape, experts=experts)
    if shape.experts is not None:
        routed = {"count": count, "top_k": top_k, "ffn": ffn}
        given = {key: int(value) for key, value in routed.items() if value}
        return replace(shape, experts=replace(shape.experts, **given))
    return replace(shape, ffn=int(ffn)) if ffn else shape
