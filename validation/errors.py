"""How far predictions are from what was measured, by source and by kind of row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from validation.learn import Prediction
from validation.rows import Row, inputs_of

from irongrid.cost.flops import step_flops

Floats = NDArray[np.float64]
# Kinds of rows that have limits of their own: sources of each.
DENSE = ("megatron_sc21", "korthikanti22", "zero_bubble", "vtrain_multi")
SINGLE = ("vtrain_single",)
MODERN = (
    "llmfoundry_a100", "mbridge", "torchtitan", "torchtitan_asynctp", "megatron_llama_example",
)  # fmt: skip
KINDS: dict[str, tuple[str, ...]] = {"dense": DENSE, "vtrain_single": SINGLE, "modern": MODERN}


def figures_of(
    rows: Sequence[Row], time: Prediction, memory: tuple[Floats, Floats]
) -> dict[str, Any]:
    """The figures of a set of predictions: by source and by kind, and what was predicted."""
    told = [i for i, row in enumerate(rows) if row.counts]
    finite = [i for i in told if not rows[i].not_expressible and time.step_time_s[i] > 0]
    figures: dict[str, Any] = {
        "rows": len(rows),
        "scored": len(told),
        "predicted_pct": round(100 * len(finite) / max(len(told), 1), 2),
    }
    sources = dict.fromkeys(rows[i].source for i in finite)
    groups = {**{name: (name,) for name in sources}, **KINDS, "all": tuple(sources)}
    floor = floor_errors([rows[i] for i in finite])
    for name, members in groups.items():
        chosen = [k for k, i in enumerate(finite) if rows[i].source in members]
        if chosen:
            index = [finite[k] for k in chosen]
            figures[name] = {**_time(rows, time, index), "floor_mean_pct": _pct(floor[chosen])}
    figures["memory"] = _memory(rows, memory)
    return figures


def errors_of(rows: Sequence[Row], time: Prediction) -> Floats:
    """Relative error of each prediction."""
    measured = np.array([row.step_time_s for row in rows], dtype=float)
    return np.asarray(time.step_time_s / measured - 1)


def _pct(errors: Floats) -> float:
    return round(100 * float(np.mean(np.abs(errors))), 2)


def _time(rows: Sequence[Row], time: Prediction, index: Sequence[int]) -> dict[str, float]:
    measured = np.array([rows[i].step_time_s for i in index], dtype=float)
    error = time.step_time_s[index] / measured - 1
    return {
        "rows": len(index),
        "mean_pct": _pct(error),
        "median_pct": round(100 * float(np.median(np.abs(error))), 2),
        "bias_pct": round(100 * float(np.mean(error)), 2),
        "p90_covers_pct": round(100 * float(np.mean(time.step_time_s_p90[index] >= measured)), 1),
    }


def _memory(rows: Sequence[Row], memory: tuple[Floats, Floats]) -> dict[str, float]:
    index = [
        i for i, row in enumerate(rows)
        if row.memory_gib is not None and row.quality in ("A", "B") and not row.is_lora
    ]  # fmt: skip
    if not index:
        return {"rows": 0}
    measured = np.array([rows[i].memory_gib for i in index], dtype=float)
    p50, p95 = memory[0][index], memory[1][index]
    return {
        "rows": len(index),
        "mean_pct": _pct(p50 / measured - 1),
        "p95_covers_pct": round(100 * float(np.mean(p95 >= measured)), 1),
        "p95_excess_pct": round(100 * float(np.mean(p95 / measured - 1)), 1),
    }


def floor_errors(rows: Sequence[Row]) -> Floats:
    """Errors of the simplest model: operations over peak and bubble, one efficiency a source.

    The efficiency of a row's source is the median over the source's other models, or over all of
    its rows where it has one model.
    """
    if not rows:
        return np.zeros(0)
    work, machine, layout = inputs_of([row.values for row in rows])
    ranks = np.asarray(layout.tp) * layout.pp * layout.cp * layout.dp_shard * layout.dp_replicate
    bubble = 1 + (layout.pp - 1) / (np.asarray(layout.grad_accum) * layout.virtual_stages)
    ideal = step_flops(work, layout)[1] / (ranks * np.asarray(machine.peak_flops_per_s)) * bubble
    ratio = np.array([row.step_time_s for row in rows], dtype=float) / ideal
    errors = np.zeros(len(rows))
    for i, row in enumerate(rows):
        others = [
            k for k, other in enumerate(rows)
            if other.source == row.source and other.model != row.model
        ] or [k for k, other in enumerate(rows) if other.source == row.source]  # fmt: skip
        errors[i] = float(np.median(ratio[others])) / ratio[i] - 1
    return errors
