"""A model's shape from plain numbers: what the catalog's file and people's own files hold."""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from irongrid.domain.model import Experts, Latent, ModelShape
from irongrid.spec.findings import Finding, Path, one_of, shown

# The largest that anybody could mean; larger numbers are slips, and would only overflow later.
_MOST = {
    "layers": 4096, "hidden": 1_048_576, "heads": 16_384, "kv_heads": 16_384, "ffn": 16_777_216,
    "vocab": 16_777_216, "head_dim": 65_536, "positions": 2**31, "window": 2**31,
    "windowed_layers": 4096, "conditioning": 1_048_576, "prediction_layers": 64,
    "count": 65_536, "top_k": 65_536, "shared_ffn": 16_777_216, "dense_layers": 4096,
    "groups": 65_536, "groups_per_token": 65_536, "query_rank": 1_048_576, "kv_rank": 1_048_576,
    "rotary_dim": 65_536, "value_dim": 65_536,
}  # fmt: skip
_LEAST_ONE = frozenset(
    {"layers", "hidden", "heads", "kv_heads", "ffn", "count", "top_k", "kv_rank", "value_dim",
     "groups", "groups_per_token"}
)  # fmt: skip
_REQUIRED = {
    ModelShape: ("layers", "hidden", "heads", "ffn", "vocab"),
    Experts: ("count", "top_k", "ffn"),
    Latent: ("kv_rank", "value_dim"),
}
_FLAGS = frozenset({"tied", "gated", "causal"})
_PARTS: dict[str, type[Any]] = {"experts": Experts, "latent": Latent}


def shape(document: Mapping[str, Any], path: Path = ()) -> tuple[ModelShape | None, list[Finding]]:
    """The shape in a mapping with the fields of `ModelShape`, or everything that is wrong."""
    findings: list[Finding] = []
    values = _numbers(document, ModelShape, path, findings)
    for name, part in _PARTS.items():
        inner = document.get(name)
        if inner is None:
            continue
        if not isinstance(inner, Mapping):
            problem = f"expected a mapping, got {shown(inner)}"
            findings.append(Finding((*path, name), problem, f"Write `{name}: {{...}}`"))
            continue
        numbers = _numbers(inner, part, (*path, name), findings)
        if part is Latent:
            numbers = {"query_rank": 0, "rotary_dim": 0, **numbers}
        if not findings:
            values[name] = part(**numbers)
    if findings:
        return None, findings
    values.setdefault("kv_heads", values["heads"])
    built = ModelShape(**values)
    findings = list(_fits(built, path))
    return (None, findings) if findings else (built, [])


def _numbers(
    document: Mapping[str, Any], part: type[Any], path: Path, findings: list[Finding]
) -> dict[str, Any]:
    known = [field.name for field in fields(part)]
    found: dict[str, Any] = {}
    for name, value in document.items():
        where = (*path, str(name))
        if name not in known:
            near = get_close_matches(str(name)[:40], known, n=1)
            fix = f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(known)}"
            findings.append(Finding(where, "is not a field of a model", fix))
        elif name in _PARTS:
            continue
        elif name in _FLAGS:
            if isinstance(value, bool):
                found[name] = value
            else:
                problem = f"expected true or false, got {shown(value)}"
                findings.append(Finding(where, problem, "Write true or false"))
        elif type(value) is int and int(name in _LEAST_ONE) <= value <= _MOST[name]:
            found[name] = value
        else:
            least = int(name in _LEAST_ONE)
            problem = f"expected a whole number from {least} to {_MOST[name]}, got {shown(value)}"
            findings.append(Finding(where, problem, "Write the model's own number"))
    for name in _REQUIRED[part]:
        if name not in document:
            findings.append(Finding((*path, name), "is required", f"Add `{name}: NUMBER`"))
    return found


def _fits(model: ModelShape, path: Path) -> list[Finding]:
    """What one number means for another."""
    findings = []
    if not model.head_dim and model.hidden % model.heads:
        problem = f"heads={model.heads} do not divide hidden={model.hidden}"
        findings.append(Finding((*path, "heads"), problem, "Change one, or give head_dim"))
    if model.heads % model.kv_heads:
        known = [n for n in (1, 2, 4, 8, 16, model.heads) if model.heads % n == 0]
        problem = f"kv_heads={model.kv_heads} does not divide heads={model.heads}"
        fix = f"Use {one_of(map(str, dict.fromkeys(known)))}"
        findings.append(Finding((*path, "kv_heads"), problem, fix))
    if model.windowed_layers > model.layers:
        problem = f"windowed_layers={model.windowed_layers} of {model.layers} layers"
        findings.append(Finding((*path, "windowed_layers"), problem, "Use at most `layers`"))
    experts = model.experts
    if experts is not None and experts.top_k > experts.count:
        problem = f"top_k={experts.top_k} of {experts.count} experts"
        findings.append(Finding((*path, "experts", "top_k"), problem, "Use at most `count`"))
    if experts is not None and experts.dense_layers > model.layers:
        problem = f"dense_layers={experts.dense_layers} of {model.layers} layers"
        where = (*path, "experts", "dense_layers")
        findings.append(Finding(where, problem, "Use at most `layers`"))
    return findings
