"""Measured rows that have a peak memory, as columns of the memory formulas.

An empty field means that the source does not say: the row then gets the best value that fits its
device, and `assumed` names the field.
"""

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from irongrid.cost.behaviours import BEHAVIOURS
from irongrid.cost.columns import Layout, Machine, Work
from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.plan import PRECISIONS, RECOMPUTE, SCHEDULES, ZERO

GIB = 2.0**30
DATA = Path(os.environ.get("IRONGRID_DATA", Path(__file__).parents[2] / "shared" / "data"))
MEASURED = DATA / "planner" / "measured.csv"
SOFTWARE = {
    "Megatron-LM(zero-bubble)": "megatron-2022",
    "Megatron-DeepSpeed(Sailor)": "megatron-deepspeed",
    "torchtitan": "torchtitan",
}
_GATED = ("LLAMA", "QWEN", "MIXTRAL", "DEEPSEEK")
_ZERO = {"": "none", "0": "none", "1": "1", "2": "2", "3": "3"}


@dataclass(frozen=True, kw_only=True)
class MemoryRow:
    """One measured run."""

    row_id: str
    source: str
    model: str
    measured_gib: float
    work: dict[str, Any]
    layout: dict[str, Any]
    machine: dict[str, Any]
    assumed: tuple[str, ...]


def _number(text: str, otherwise: float) -> float:
    return float(text) if text else otherwise


def _generation(gpu: str) -> int:
    for mark, generation in (
        ("2080", "turing"), ("Titan-RTX", "turing"), ("V100", "volta"), ("A100", "ampere"),
        ("3090", "ampere"), ("H100", "hopper"), ("H200", "hopper"), ("B200", "blackwell"),
    ):  # fmt: skip
        if mark in gpu:
            return GENERATIONS.index(generation)
    return GENERATIONS.index("hopper" if "GH200" in gpu else "other")


def _card_gb(name: str) -> float:
    return {"RTX-2080": 11.0}.get(name, 24.0)


def _memory_gb(row: dict[str, str]) -> float:
    if row["gpu_mem_gb"]:
        return float(row["gpu_mem_gb"])
    return max(_card_gb(name) for name in row["gpu"].split("+"))


def _mixed_tp(row: dict[str, str]) -> float:
    most = re.search(r"TP degrees up to (\d+)", row["notes"])
    alike = len({_card_gb(name) for name in row["gpu"].split("+")}) == 1
    return float(most[1]) if most and alike else 1.0


def read_rows(path: Path = MEASURED) -> list[MemoryRow]:
    """Rows of quality A and B with a peak memory."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["mem_gib"] and row["quality"] in "AB"]
    return [_read(row) for row in rows]


def _read(row: dict[str, str]) -> MemoryRow:
    assumed = [name for name in ("vocab", "tp", "recompute") if not row[name]]
    hidden, heads = int(row["hidden"]), int(row["heads"])
    gated = row["model"].upper().startswith(_GATED)
    layers = int(row["layers"])
    memory = _memory_gb(row)
    # Cards under 32 GB are taken to recompute; tensor ranks of mixed cards: the largest cards hold
    # most, and split only where all cards are of one size.
    tp = _number(row["tp"], _mixed_tp(row))
    recompute = row["recompute"].partition("(")[0] or ("none" if memory >= 32 else "full")
    precision = row["precision"] if row["precision"] in PRECISIONS else "fp16"
    work = {
        "layers": layers, "hidden": hidden, "heads": heads,
        "kv_heads": _number(row["kv_heads"], heads), "head_dim": hidden // heads,
        "ffn": _number(row["ffn"], 4 * hidden), "vocab": _number(row["vocab"], 51200),
        "gated": float(gated), "tied": float(not gated), "causal": 1, "window": 0,
        "windowed_layers": 0, "positions": 0 if gated else int(row["seq"]), "conditioning": 0,
        "prediction_layers": 0, "experts": 0, "top_k": 0, "expert_layers": 0, "expert_ffn": 0,
        "shared_ffn": 0, "expert_groups": 1, "groups_per_token": 1, "latent_query": 0,
        "latent_kv": 0, "latent_rotary": 0, "latent_value": 0, "seq_len": int(row["seq"]),
        "global_batch": int(row["gbs"]),
        "precision": PRECISIONS.index(precision),
        "optimizer": 1, "lora_rank": 0, "frozen_share": 0.0, "runtime": row["framework"],
    }  # fmt: skip
    zero = _ZERO.get(row["zero"], "fsdp")
    dp, sharded = int(row["dp"]), _ZERO.get(row["zero"], "fsdp") != "none"
    pp = int(row["pp"])
    layout = {
        "tp": tp, "pp": pp, "dp_replicate": 1 if sharded else dp,
        "dp_shard": dp if sharded else 1, "cp": _number(row["cp"], 1), "ep": 1,
        "micro_batch": int(row["mbs"]), "grad_accum": int(row["grad_accum"]),
        "virtual_stages": _number(row["vp"], 1),
        "schedule": SCHEDULES.index(row["schedule"] if row["schedule"] in SCHEDULES else "1f1b"),
        "zero": ZERO.index(zero),
        "recompute": RECOMPUTE.index(recompute),
        "recompute_share": 1.0, "offload": 0, "offload_tier": 0,
        "sequence_parallel": _number(row["sp"], 0), "context": 0, "compression": 0,
        "short_ends": float("one layer fewer" in row["notes"]),
    }  # fmt: skip
    machine = {"generation": _generation(row["gpu"]), "memory_bytes": memory * 1e9}
    return MemoryRow(
        row_id=row["row_id"],
        source=row["source"],
        model=row["model"],
        measured_gib=float(row["mem_gib"]),
        work=work,
        layout=layout,
        machine=machine,
        assumed=tuple(assumed),
    )


def columns(rows: Sequence[MemoryRow]) -> tuple[Work, Machine, Layout]:
    """One column entry per row."""

    def stack(kind: str, into: type) -> Any:
        names = [spec.name for spec in fields(into)]
        return into(
            **{
                name: np.array([getattr(row, kind).get(name, 0.0) for row in rows])
                for name in names
            }
        )

    for row in rows:
        if isinstance(row.work["runtime"], str):
            row.work["runtime"] = BEHAVIOURS.index(SOFTWARE[row.work["runtime"]])
    return stack("work", Work), stack("machine", Machine), stack("layout", Layout)
