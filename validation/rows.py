"""Measured rows as the columns that the cost formulas read.

What a row does not publish is filled in and named in `assumed`. Where several values are as
likely (a micro-batch, the pieces of a stage), all are kept as choices, and `resolve` takes the one
that is fastest by the prediction among those that fit the memory.
"""

import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from validation.fields import assume, positive
from validation.layouts import layout_of
from validation.names import (
    Device,
    behaviour_of,
    device_of,
    precision_of,
)
from validation.shapes import shape_of_row

from irongrid.cost.coefficients import BEHAVIOURS, Coefficients
from irongrid.cost.columns import Layout, Machine, Work
from irongrid.cost.inputs import HOSTS, work_of
from irongrid.cost.step import step_time
from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.training import Training
from irongrid.errors import IrongridError
from irongrid.spec.devices import UsualNode
from irongrid.spec.links import link_classes

_WORK = tuple(field.name for field in fields(Work))
_MACHINE = tuple(field.name for field in fields(Machine))
_LAYOUT = tuple(field.name for field in fields(Layout))


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


def row_of(fields: Mapping[str, str]) -> Row:
    """One row: what it says, and what must be assumed."""
    assumed: list[str] = []
    device = device_of(fields.get("gpu", ""), positive(fields, "gpu_mem_gb"))
    assumed += device.assumed
    shape = shape_of_row(fields, assumed)
    layout, choices = layout_of(fields, shape, device, assumed)
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
        global_batch=round(positive(fields, "gbs") or batch * layout["grad_accum"]),
        seq_len=round(positive(fields, "seq") or assume(assumed, "seq", 2048)),
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
        step_time_s=positive(fields, "step_time_s"),
        memory_gib=positive(fields, "mem_gib"),
        assumed=tuple(dict.fromkeys(assumed)),
        not_expressible="",
    )


def _machine(fields: Mapping[str, str], device: Device, precision: str) -> dict[str, float]:
    chip, node = device.accelerator, device.node
    half = max(chip.flops_per_s.get(p, 0.0) for p in ("bf16", "fp16"))
    peak = chip.flops_per_s[precision]
    per_node = positive(fields, "gpus_per_node") or node.devices or 8
    domain = re.search(r"nvlink_domain=(\d+)", fields.get("notes", ""))
    island = float(domain[1]) if domain else float(node.island or 256)
    if not domain and island < per_node:
        island = per_node
    net = (positive(fields, "net_gbps_per_gpu") or 0.0) * 1e9 / 8 or _usual_net_bytes_per_s(node)
    memory = (positive(fields, "gpu_mem_gb") or 0.0) * 2**30 or float(chip.memory_bytes)
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


def _usual_net_bytes_per_s(node: UsualNode) -> float:
    """What one device has of its usual node's NICs."""
    rate = link_classes()[node.link].bytes_per_s
    assert rate is not None, "the NICs of usual nodes have a rate"
    return rate * node.nics / node.devices


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
