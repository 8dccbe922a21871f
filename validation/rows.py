"""Measured rows as the columns that the cost formulas read.

What a row does not publish is filled in and named in `assumed`. Where several values are as
likely (a micro-batch, the pieces of a stage), all are kept as choices, and `resolve` takes the one
that is fastest by the prediction among those that fit the memory.
"""

import csv
import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from validation.names import (
    Device,
    behaviour_of,
    device_of,
    is_gated,
    plain,
    precision_of,
    shape_by_size,
    shape_of,
    usual_vocab,
)

from irongrid.cost.coefficients import BEHAVIOURS, Coefficients
from irongrid.cost.columns import Layout, Machine, Work
from irongrid.cost.inputs import HOSTS, work_of
from irongrid.cost.step import step_time
from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.model import Experts, ModelShape
from irongrid.domain.plan import RECOMPUTE, SCHEDULES, ZERO
from irongrid.domain.training import Training
from irongrid.errors import IrongridError
from irongrid.spec.devices import UsualNode
from irongrid.spec.links import link_classes

_WORK = tuple(field.name for field in fields(Work))
_MACHINE = tuple(field.name for field in fields(Machine))
_LAYOUT = tuple(field.name for field in fields(Layout))
# A share of memory that a plan of ours may fill before it counts as not feasible.
_FULL = 0.96
_SMALL_CARD_BYTES = 32e9


def data_folder() -> Path:
    """Where the data sets are: IRONGRID_DATA, or `shared/data` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("IRONGRID_DATA", beside))


def measured_csv() -> Path:
    """The public measured rows."""
    return data_folder() / "planner" / "measured.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured run.

    Attributes:
        values: every field of Work, Machine and Layout.
        choices: overlays of `values` between which the row does not decide; empty if it does.
        step_time_s, memory_gib: measured; None where the row has none.
        assumed: what was filled in, in words.
        not_expressible: why our formulas cannot describe it; empty if they can.
    """

    row_id: str
    source: str
    model: str
    gpu: str
    quality: str
    gpus: int
    group: tuple[str, ...]
    values: Mapping[str, float]
    choices: tuple[Mapping[str, float], ...]
    step_time_s: float | None
    memory_gib: float | None
    assumed: tuple[str, ...]
    not_expressible: str

    @property
    def recomputes_unknown(self) -> bool:
        """Whether the row does not say what is recomputed."""
        return "recompute=none" in self.assumed

    @property
    def is_lora(self) -> bool:
        """Whether only adapters are trained."""
        return self.values["lora_rank"] > 0

    @property
    def has_layout(self) -> bool:
        """Whether the row says how the run was split."""
        return not any(told.startswith(("tp=", "pp=", "gbs=")) for told in self.assumed)

    @property
    def counts(self) -> bool:
        """Whether the row enters fits and errors of step time."""
        return self.step_time_s is not None and self.quality in ("A", "B") and not self.is_lora


def read_rows(path: Path) -> list[Row]:
    """All rows of a CSV with the columns of `measured.csv`; missing columns are empty fields."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_row_or_refusal(_stripped(fields)) for fields in csv.DictReader(file)]


def _row_or_refusal(fields: Mapping[str, str]) -> Row:
    """The row; one that makes no sense becomes a row that cannot be expressed."""
    try:
        return row_of(fields)
    except (ArithmeticError, ValueError, IrongridError) as error:
        return replace(
            row_of({"model": "llama2-7b", "gpu": "A100-80GB", **_EXAMPLE}),
            row_id=fields.get("row_id", ""),
            source=fields.get("source", ""),
            model=fields.get("model", ""),
            gpu=fields.get("gpu", ""),
            quality="C",
            not_expressible=str(error) or repr(error),
        )


_EXAMPLE = {"gpus": "8", "tp": "1", "pp": "1", "gbs": "8", "mbs": "1", "seq": "2048"}


def _stripped(fields: Mapping[str | None, str | None]) -> dict[str, str]:
    return {key: (value or "").strip() for key, value in fields.items() if key is not None}


def _number(fields: Mapping[str, str], name: str) -> float | None:
    try:
        value = float(fields.get(name) or "")
    except ValueError:
        return None
    return value if np.isfinite(value) and value >= 0 else None


def _positive(fields: Mapping[str, str], name: str) -> float | None:
    value = _number(fields, name)
    return value if value else None


def row_of(fields: Mapping[str, str]) -> Row:
    """One row: what it says, and what must be assumed."""
    assumed: list[str] = []
    device = device_of(fields.get("gpu", ""), _positive(fields, "gpu_mem_gb"))
    assumed += device.assumed
    shape = _shape(fields, assumed)
    layout, choices = _layout(fields, shape, device, assumed)
    precision, told = precision_of(fields.get("precision", ""), device.accelerator)
    assumed += told
    behaviour = behaviour_of(
        fields.get("framework", ""),
        fields.get("overlap", ""),
        fields.get("source_loc", ""),
        device.accelerator.generation,
        fields.get("zero", ""),
        fields.get("notes", ""),
    )
    batch = layout["dp_replicate"] * layout["dp_shard"] * layout["micro_batch"]
    training = Training(
        global_batch=round(_positive(fields, "gbs") or batch * layout["grad_accum"]),
        seq_len=round(_positive(fields, "seq") or _assume(assumed, "seq", 2048)),
        precision=precision,
        lora_rank=16 if "lora" in fields.get("notes", "").lower() else 0,
    )
    described = work_of(shape, training)
    work = {name: float(getattr(described, name)) for name in _WORK}
    work["runtime"] = float(BEHAVIOURS.index(behaviour))
    machine = _machine(fields, device, precision)
    ranks = layout["dp_replicate"] * layout["dp_shard"]
    gpus = round(layout["tp"] * layout["pp"] * layout["cp"] * ranks)
    return Row(
        row_id=fields.get("row_id", ""),
        source=fields.get("source", ""),
        model=fields.get("model", ""),
        gpu=fields.get("gpu", ""),
        quality=fields.get("quality", "") or "A",
        gpus=gpus,
        group=tuple(
            fields.get(k, "") for k in ("source", "model", "gpu", "gpus", "gbs", "seq", "precision")
        ),
        values={**work, **machine, **layout},
        choices=tuple(choices),
        step_time_s=_positive(fields, "step_time_s"),
        memory_gib=_positive(fields, "mem_gib"),
        assumed=tuple(dict.fromkeys(assumed)),
        not_expressible="",
    )


def _assume(assumed: list[str], name: str, value: float) -> float:
    assumed.append(f"{name}={value:g}")
    return value


def _shape(fields: Mapping[str, str], assumed: list[str]) -> ModelShape:
    """The model: the row's own numbers, over the shape that its name is known by."""
    name = fields.get("model", "")
    known = shape_of(name)
    layers, hidden = _positive(fields, "layers"), _positive(fields, "hidden")
    if known is None and (layers is None or hidden is None):
        size = _positive(fields, "params_b") or _size_in(name)
        guess = shape_by_size(size or _assume(assumed, "params_b", 7))
        hidden = hidden or _assume(assumed, "hidden", guess[0])
        layers = layers or _assume(assumed, "layers", guess[1])
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
    heads = _positive(fields, "heads") or _assume(assumed, "heads", max(hidden // 128, 1))
    gated = is_gated(name)
    ffn = _positive(fields, "ffn")
    if ffn is None:
        ffn = _assume(assumed, "ffn", round(hidden * (8 / 3 if gated else 4)))
    vocab = _positive(fields, "vocab")
    if vocab is None:
        left = _weights_left(fields, layers, hidden, int(ffn), gated)
        vocab = _assume(assumed, "vocab", usual_vocab(left, hidden))
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
    if not printed or not _positive(fields, "params_b"):
        return None
    half = 0.5 * 10.0 ** -len(printed.partition(".")[2]) * 1e9
    blocks = layers * (4.0 * hidden**2 + (3 if gated else 2) * hidden * ffn + 13 * hidden)
    return float(printed) * 1e9 - half - blocks, float(printed) * 1e9 + half - blocks


def _override(base: ModelShape, fields: Mapping[str, str], assumed: list[str]) -> ModelShape:
    """The row's own numbers where it has them. A latent or hybrid shape keeps its heads."""
    numbers = {k: _positive(fields, k) for k in ("layers", "hidden", "heads", "kv_heads", "vocab")}
    if base.latent is not None:
        numbers["heads"] = numbers["kv_heads"] = None
    changes: dict[str, Any] = {key: int(value) for key, value in numbers.items() if value}
    head = base.head_dim
    if "heads" in changes and not head and changes.get("hidden", base.hidden) % changes["heads"]:
        head = max(changes.get("hidden", base.hidden) // changes["heads"], 1)
    if "heads" in changes and "kv_heads" not in changes and base.kv_heads == base.heads:
        changes["kv_heads"] = changes["heads"]
    shape = replace(base, head_dim=head, **changes)
    ffn = _positive(fields, "ffn")
    count, top_k = _positive(fields, "experts"), _positive(fields, "topk")
    if shape.experts is None and count and count > 1:
        width = int(ffn or shape.ffn)
        experts = Experts(
            count=int(count), top_k=int(top_k or _assume(assumed, "topk", 2)), ffn=width
        )
        return replace(shape, experts=experts)
    if shape.experts is not None:
        routed = {"count": count, "top_k": top_k, "ffn": ffn}
        given = {key: int(value) for key, value in routed.items() if value}
        return replace(shape, experts=replace(shape.experts, **given))
    return replace(shape, ffn=int(ffn)) if ffn else shape


def _usual_net_bytes_per_s(node: UsualNode) -> float:
    """What one device has of its usual node's NICs."""
    rate = link_classes()[node.link].bytes_per_s
    assert rate is not None, "the NICs of usual nodes have a rate"
    return rate * node.nics / node.devices


def _machine(fields: Mapping[str, str], device: Device, precision: str) -> dict[str, float]:
    chip, node = device.accelerator, device.node
    half = max(chip.flops_per_s.get(p, 0.0) for p in ("bf16", "fp16"))
    peak = chip.flops_per_s[precision]
    per_node = _positive(fields, "gpus_per_node") or node.devices or 8
    domain = re.search(r"nvlink_domain=(\d+)", fields.get("notes", ""))
    island = float(domain[1]) if domain else float(node.island or 256)
    if not domain and island < per_node:
        island = per_node
    net = (_positive(fields, "net_gbps_per_gpu") or 0.0) * 1e9 / 8 or _usual_net_bytes_per_s(node)
    memory = (_positive(fields, "gpu_mem_gb") or 0.0) * 2**30 or float(chip.memory_bytes)
    near = chip.link_bytes_per_s or 0.7 * chip.host_bytes_per_s
    return {
        "peak_flops_per_s": peak,
        "half_flops_per_s": half or peak,
        "hbm_bytes_per_s": chip.memory_bytes_per_s,
        "memory_bytes": max(memory, float(chip.memory_bytes)) if not domain else memory,
        "generation": float(GENERATIONS.index(chip.generation)),
        "host": float(HOSTS.index(chip.host)),
        "island_devices": island,
        "island_bytes_per_s": near,
        "island_latency_s": 2e-6 if chip.link_bytes_per_s else 8e-6,
        "node_devices": per_node,
        "net_bytes_per_s": net,
        "net_latency_s": 8e-6,
        "host_bytes_per_s": chip.host_bytes_per_s,
        "host_memory_bytes": node.host_memory_bytes / per_node,
        "nvme_bytes_per_s": 0.0,
        "cxl_bytes_per_s": 0.0,
        "peak_watts": chip.peak_watts,
        "idle_watts": chip.idle_watts,
        "power_exponent": chip.power_exponent,
    }


_ZERO = {"0": "none", "1": "1", "2": "2", "3": "3", "1(distopt)": "1", "1/2(distopt)": "1"}


def _layout(
    fields: Mapping[str, str], shape: ModelShape, device: Device, assumed: list[str]
) -> tuple[dict[str, float], list[dict[str, float]]]:
    given = {k: _positive(fields, k) for k in ("tp", "pp", "cp", "ep", "dp", "gpus")}
    tp = given["tp"] or _assume(assumed, "tp", _mixed_tp(fields))
    pp = given["pp"] or _assume(assumed, "pp", 1)
    cp = given["cp"] or 1.0
    gpus = given["gpus"] or tp * pp * cp * (given["dp"] or _assume(assumed, "dp", 1))
    dp = max(round(gpus / (tp * pp * cp)), 1)
    if given["dp"] and given["dp"] != dp:
        assumed.append(f"dp={dp} from gpus")
    values = {
        "tp": tp, "pp": pp, "cp": cp, "ep": given["ep"] or 1.0, "offload": 0.0,
        "offload_tier": 0.0, "context": 0.0, "compression": 0.0, "recompute_share": 1.0,
    }  # fmt: skip
    values |= _sharding(fields, device, dp)
    values |= _recompute(fields, device, assumed)
    choices = _batches(fields, shape, dp, pp, values, assumed)
    return values, choices


def _sharding(fields: Mapping[str, str], device: Device, dp: float) -> dict[str, float]:
    text = fields.get("zero", "").lower()
    word = "fsdp" if "fsdp" in text else _ZERO.get(text, "none")
    modern = device.accelerator.generation in ("hopper", "blackwell")
    # Megatron's recipes shard the optimizer; DeepSpeed shards nothing unless told to.
    if not text and modern and "deepspeed" not in fields.get("framework", "").lower():
        word = "1"
    sp = _number(fields, "sp")
    split = float(modern) if sp is None else sp
    shards = {"dp_replicate": 1.0, "dp_shard": dp} if word != "none" else {}
    return {
        "zero": float(ZERO.index(word)),
        "sequence_parallel": split,
        "dp_replicate": dp,
        "dp_shard": 1.0,
        **shards,
    }


def _mixed_tp(fields: Mapping[str, str]) -> float:
    """Tensor ranks of the fullest device where types are mixed: the largest split least.

    Cards of one size split alike, to the degree that the row names; of several sizes, the largest
    need not split at all.
    """
    most = re.search(r"TP degrees up to (\d+)", fields.get("notes", ""))
    small = "2080" in fields.get("gpu", "")
    return float(most[1]) if most and not small else 1.0


def _recompute(fields: Mapping[str, str], device: Device, assumed: list[str]) -> dict[str, float]:
    text = fields.get("recompute", "").lower()
    word = next((word for word in ("selective", "full", "none") if text.startswith(word)), None)
    if text in ("yes", "true", "1"):
        word = "full"
    if word is None:
        # Cards this small train no model of a row without.
        word = "full" if device.accelerator.memory_bytes < _SMALL_CARD_BYTES else "none"
        assumed.append(f"recompute={word}")
    return {"recompute": float(RECOMPUTE.index(word))}


def _divisors(number: float, most: float) -> list[float]:
    return [float(d) for d in range(1, int(min(number, most)) + 1) if number % d == 0]


def _batches(
    fields: Mapping[str, str],
    shape: ModelShape,
    dp: float,
    pp: float,
    values: dict[str, float],
    assumed: list[str],
) -> list[dict[str, float]]:
    """Micro-batch, accumulation, schedule and pieces; several where the row does not say."""
    batch = _positive(fields, "gbs")
    mbs, accum = _positive(fields, "mbs"), _positive(fields, "grad_accum")
    if batch is None:
        batch = dp * (mbs or 1) * (accum or 1)
        if not (mbs and accum):
            assumed.append(f"gbs={batch:g}")
    each = max(batch / dp, 1.0)
    if mbs is None and accum is not None:
        mbs = max(each / accum, 1e-3)
    sizes = [mbs] if mbs else _divisors(round(each), 16)
    if mbs is None:
        assumed.append("mbs: best feasible")
    pieces = _pieces(fields, shape, pp, values, assumed)
    choices = [
        {"micro_batch": m, "grad_accum": accum if mbs and accum else max(each / m, 1.0), **piece}
        for m, piece in itertools.product(sizes, pieces)
    ]
    values |= choices[0]
    return choices if len(choices) > 1 else []


def _pieces(
    fields: Mapping[str, str],
    shape: ModelShape,
    pp: float,
    values: dict[str, float],
    assumed: list[str],
) -> list[dict[str, float]]:
    text, vp = fields.get("schedule", "").lower(), _positive(fields, "vp")
    ends = "fewer" in fields.get("notes", "") and "layer" in fields.get("notes", "")
    short = float(pp > 1 and (ends or (shape.layers % pp > 0 and (shape.layers + 2) % pp == 0)))
    values["short_ends"] = short
    plain_schedule = {"virtual_stages": 1.0, "schedule": float(SCHEDULES.index("1f1b"))}
    if "dualpipe" in text or "dualpipe" in fields.get("overlap", "").lower():
        return [{"virtual_stages": 2.0, "schedule": float(SCHEDULES.index("dualpipev"))}]
    if text in SCHEDULES and text not in ("1f1b", "interleaved"):
        return [{"virtual_stages": vp or 1.0, "schedule": float(SCHEDULES.index(text))}]
    if pp == 1 or text == "1f1b" or (vp == 1):
        return [plain_schedule]
    inter = float(SCHEDULES.index("interleaved"))
    if vp:
        return [{"virtual_stages": vp, "schedule": inter}]
    if text == "1f1b_or_interleaved" or text == "interleaved":
        assumed.append("vp: best feasible")
        many = [d for d in _divisors(round((shape.layers + 2 * short) / pp), 8) if d > 1]
        choices = [{"virtual_stages": d, "schedule": inter} for d in many]
        return [plain_schedule, *choices] if text != "interleaved" or not choices else choices
    return [plain_schedule]


def inputs_of(values: Sequence[Mapping[str, float]]) -> tuple[Work, Machine, Layout]:
    """Columns, one entry for each of the value sets."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([one[name] for one in values], dtype=float)

    work = Work(**{name: column(name) for name in _WORK})
    machine = Machine(**{name: column(name) for name in _MACHINE})
    return work, machine, Layout(**{name: column(name) for name in _LAYOUT})


Fits = Callable[[Work, Machine, Layout], NDArray[np.bool_]]


def resolve(rows: Sequence[Row], c: Coefficients, fits: Fits | None = None) -> list[Row]:
    """The rows with their choices made: fastest by the prediction among those that fit."""
    flat = [{**row.values, **choice} for row in rows for choice in row.choices]
    if not flat:
        return list(rows)
    inputs = inputs_of(flat)
    time = step_time(*inputs, c).p50_s
    fit = fits(*inputs) if fits is not None else np.ones(len(flat), dtype=bool)
    done: list[Row] = []
    start = 0
    for row in rows:
        if not row.choices:
            done.append(row)
            continue
        end = start + len(row.choices)
        costs = np.where(fit[start:end], time[start:end], time[start:end] * 1e6)
        best = row.choices[int(np.argmin(costs))]
        done.append(replace(row, values={**row.values, **best}, choices=()))
        start = end
    return done
