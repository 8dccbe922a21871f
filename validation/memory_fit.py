"""How close is peak memory to the measured runs? Fits its coefficients, and says so.

    python -m validation.memory_fit [--json] [--write]

Peak memory is arithmetic; what is fitted are the few figures that arithmetic does not know, each
around a prior with its reason. Runs whose memory nobody printed help too: they fitted their
device. `--write` puts the fit into `catalog/memory.json`. Errors are of runs left out of the fit:
by model within its source, and by source.
"""

import argparse
import copy
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.report import at_least, at_most, finish
from numpy.typing import NDArray
from validation.rows import Row, inputs_of, measured_csv, read_rows

from irongrid.cost.coefficients import BEHAVIOURS
from irongrid.cost.columns import Layout, Machine, PeakMemory, Work
from irongrid.cost.memory import peak_memory
from irongrid.cost.memory_coefficients import MemoryCoefficients

Array = NDArray[np.float64]

FILE = Path(__file__).parents[1] / "src" / "irongrid" / "catalog" / "memory.json"
GIB = 2.0**30
# A run that ran needed no more than this share of its device.
_RAN_WITHIN = 0.97
# What a row must say for its memory to be known to fit.
_DOUBTFUL = ("tp=", "pp=", "gbs=", "mbs", "vp", "recompute", "layers", "hidden", "architecture")
# What a measured run may differ by from another of the same configuration; and how firmly a run
# that ran bounds a prediction.
_NOISE, _BOUND_NOISE = 0.04, 0.12
# p95 is made so wide that it lies this far over the measured on average; the limit is 0.18.
_EXCESS = 0.16


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted figure.

    Attributes:
        section: `shared`, or a software's name.
        prior, spread: the expected value, and its uncertainty as a logarithm.
        times: software whose value of the same name this one multiplies.
        copies: further software that gets the same value.
    """

    section: str
    name: str
    prior: float
    spread: float
    times: str = ""
    copies: tuple[str, ...] = ()


_TITAN = ("torchtitan-async", "torchtitan-eager")
PARAMETERS = (
    # Gathered inputs of both layers, the output before it is scattered, and their gradients.
    Parameter("shared", "gathered_inputs", 4.0, 0.4),
    # Gradients of a block's activations live beside them; the last ones are already freed.
    Parameter("shared", "working_share", 0.3, 0.5),
    Parameter("shared", "waiting_chunks", 1.0, 0.5),
    Parameter("shared", "fragmentation", 0.03, 0.5),
    # 2 bytes in half precision, 4 in full for the loss, 4 for its gradient, 2 for the former's.
    Parameter("*", "logit_bytes", 12.0, 0.25),
    Parameter("megatron-2022", "kept_share", 1.0, 0.1, copies=("megatron-2021",)),
    Parameter("megatron-2022", "fixed_bytes", 1.5e9, 0.5, copies=("megatron-2021",)),
    Parameter("megatron-deepspeed", "kept_share", 1.0, 0.1, copies=("zero3-2021",)),
    # Two communication buckets of 500 million elements each, DeepSpeed's default, and a context.
    Parameter("megatron-deepspeed", "fixed_bytes", 4e9, 0.5, copies=("zero3-2021",)),
    Parameter("megatron-deepspeed", "logit_bytes", 8.0, 0.3),
    Parameter("megatron-deepspeed", "gradient_bytes", 2.0, 0.3),
    # Modules are gathered one by one, the widest holds a third of its block.
    Parameter("zero3-2021", "gathered_blocks", 0.5, 0.3),
    Parameter("llm-foundry", "kept_share", 1.0, 0.1),
    # A fused loss overwrites the logits with their gradient (MPT's default, 2023-05).
    Parameter("llm-foundry", "logit_bytes", 6.0, 0.3),
    # The block in work and the one that is gathered ahead.
    Parameter("torchtitan", "gathered_blocks", 2.0, 0.3, copies=(*_TITAN, "fsdp2")),
    Parameter("torchtitan", "kept_share", 1.0, 0.1, copies=("torchtitan-async",)),
    # Without a compiler, norms and activations keep copies that it would merge.
    Parameter("torchtitan-eager", "kept_share", 1.1, 0.1, times="torchtitan"),
    # Every second matrix product and attention's output are saved: 63.5 of 139 KB of an 8B block.
    Parameter("torchtitan", "selective_share", 0.456, 0.1, copies=_TITAN),
    Parameter("torchtitan", "fixed_bytes", 1.5e9, 0.5, copies=_TITAN),
    Parameter("torchtitan", "logit_bytes", 1.0, 0.2, times="*", copies=_TITAN),
)
# The shape of p95's distance from p50; the fit scales all of them alike.
_HEADROOM = {
    "headroom_states": 0.15,
    "headroom_activations": 0.13,
    "headroom_buffers": 0.3,
    "headroom_context": 0.2,
}


@dataclass(frozen=True, slots=True)
class Runs:
    """Measured runs as columns.

    Attributes:
        measured_gib: NaN where only the device's size is known.
    """

    work: Work
    machine: Machine
    layout: Layout
    measured_gib: Array
    source: NDArray[np.str_]
    model: NDArray[np.str_]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Runs":
        """Columns of these rows."""
        work, machine, layout = inputs_of([row.values for row in rows])
        return cls(
            work,
            machine,
            layout,
            np.array([row.memory_gib or np.nan for row in rows]),
            np.array([row.source for row in rows]),
            np.array([f"{row.source} {row.model}" for row in rows]),
        )

    def only(self, chosen: NDArray[np.bool_]) -> "Runs":
        """The chosen rows."""

        def pick(columns: Any) -> Any:
            names = columns.__dataclass_fields__
            return type(columns)(**{name: getattr(columns, name)[chosen] for name in names})

        return Runs(
            pick(self.work),
            pick(self.machine),
            pick(self.layout),
            self.measured_gib[chosen],
            self.source[chosen],
            self.model[chosen],
        )

    def predicted(self, document: dict[str, Any]) -> PeakMemory:
        """What the coefficients of this document say."""
        coefficients = MemoryCoefficients.from_json(document, BEHAVIOURS)
        return peak_memory(self.work, self.machine, self.layout, coefficients)


def usable(rows: Sequence[Row]) -> list[Row]:
    """Rows of quality A and B that have a peak memory, or say enough to know that they fitted."""

    def fitted(row: Row) -> bool:
        doubtful = any(told.startswith(_DOUBTFUL) for told in row.assumed)
        sharded_unsaid = BEHAVIOURS[int(row.values["runtime"])] in ("maxtext", "generic")
        return not doubtful and not sharded_unsaid and not row.is_lora

    return [row for row in rows if row.quality in "AB" and (row.memory_gib or fitted(row))]


def document_of(base: dict[str, Any], logs: Array) -> dict[str, Any]:
    """The file's object with each parameter at its prior times e to the power of its log."""
    document = copy.deepcopy(base)
    for parameter, log in zip(PARAMETERS, logs, strict=True):
        value = parameter.prior * float(np.exp(log))
        if parameter.section == "shared":
            document["shared"][parameter.name] = value
            continue
        software = document["software"]
        if parameter.times:
            value *= software[parameter.times][parameter.name]
        for name in (parameter.section, *parameter.copies):
            software.setdefault(name, {})[parameter.name] = value
    return document


def fit(base: dict[str, Any], runs: Runs) -> dict[str, Any]:
    """The document that explains the runs best, as far as the priors allow."""
    spreads = np.array([parameter.spread for parameter in PARAMETERS])

    room = _RAN_WITHIN * np.asarray(runs.machine.memory_bytes) / GIB
    printed = np.isfinite(runs.measured_gib)

    def misses(logs: Array) -> Array:
        said = runs.predicted(document_of(base, logs)).p50_bytes / GIB
        over = np.maximum(np.log(said / room), 0.0) / _BOUND_NOISE
        off = np.log(said / np.where(printed, runs.measured_gib, 1.0)) / _NOISE
        return np.where(printed, off, over)

    logs = _least_squares(misses, spreads)
    return document_of(base, logs)


def _least_squares(misses: Callable[[Array], Array], spreads: Array) -> Array:
    """Gauss-Newton with priors; a row that is far off counts less (Huber, 1964, at 1.5)."""
    logs = np.zeros(len(spreads))
    step = 1e-4
    for _ in range(12):
        off = misses(logs)
        slopes = np.stack(
            [(misses(logs + step * unit) - off) / step for unit in np.eye(len(logs))], axis=1
        )
        weights = np.minimum(1.0, 1.5 / np.maximum(np.abs(off), 1e-9))
        normal = slopes.T @ (weights[:, None] * slopes) + np.diag(spreads**-2.0)
        pull = slopes.T @ (weights * off) + logs / spreads**2
        move = np.linalg.solve(normal, pull)
        logs = logs - move
        if np.max(np.abs(move)) < 1e-4:
            break
    return logs


def left_out(base: dict[str, Any], runs: Runs, groups: NDArray[np.str_]) -> tuple[Array, Array]:
    """p50 and p95, GiB, of each printed run by a fit that saw nothing of its group."""
    p50, p95 = np.full(len(groups), np.nan), np.full(len(groups), np.nan)
    for group in np.unique(groups[np.isfinite(runs.measured_gib)]):
        out = groups == group
        said = runs.only(out).predicted(fit(base, runs.only(~out)))
        p50[out], p95[out] = said.p50_bytes / GIB, said.p95_bytes / GIB
    return p50, p95


def widened(base: dict[str, Any], scale: float) -> dict[str, Any]:
    """The document with p95 so many times as far from p50 as the shape of the headroom says."""
    document = copy.deepcopy(base)
    for name, share in _HEADROOM.items():
        document["shared"][name] = share * scale
    return document


def headroom_scale(runs: Runs, p50: Array, p95: Array) -> float:
    """The scale at which p95 of the runs left out lies `_EXCESS` over the measured on average."""
    centre = np.nanmean(p50 / runs.measured_gib) - 1
    over = np.nanmean((p95 - p50) / runs.measured_gib)
    return float((_EXCESS - centre) / over)


def _figures(measured: Array, p50: Array, p95: Array) -> dict[str, float]:
    return {
        "mean_error_pct": round(100 * float(np.mean(np.abs(p50 / measured - 1))), 2),
        "p95_covers_pct": round(100 * float(np.mean(p95 >= measured)), 1),
        "p95_excess_pct": round(100 * float(np.mean(p95 / measured - 1)), 1),
    }


def _by_source(runs: Runs, p50: Array, p95: Array) -> dict[str, Any]:
    """Figures of the printed runs, altogether and by source."""
    printed = np.isfinite(runs.measured_gib)
    figures: dict[str, Any] = _figures(runs.measured_gib[printed], p50[printed], p95[printed])
    for source in np.unique(runs.source[printed]):
        chosen = printed & (runs.source == source)
        figures[str(source)] = _figures(runs.measured_gib[chosen], p50[chosen], p95[chosen])
    return figures


def rounded(value: Any) -> Any:
    """Four digits are more than the data says."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def run(base: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fitted document, and its errors on runs that it did not see."""
    runs = Runs.of(usable(read_rows(measured_csv())))
    scale = headroom_scale(runs, *left_out(widened(base, 1.0), runs, runs.model))
    base = widened(base, scale)
    document = rounded(fit(base, runs))
    said = runs.predicted(document)
    room = np.asarray(runs.machine.memory_bytes)
    return document, {
        "rows": int(np.sum(np.isfinite(runs.measured_gib))),
        "rows_that_fitted": int(np.sum(~np.isfinite(runs.measured_gib))),
        "said_not_to_fit": int(np.sum(said.p50_bytes > room)),
        "headroom_scale": round(scale, 3),
        "left_out_model": _by_source(runs, *left_out(base, runs, runs.model)),
        "left_out_source": _by_source(runs, *left_out(base, runs, runs.source)),
        "fitted": _by_source(runs, said.p50_bytes / GIB, said.p95_bytes / GIB),
    }


def main(arguments: Sequence[str]) -> int:
    """Fit, report, and write if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    parser.add_argument("--write", action="store_true", help="update catalog/memory.json")
    options = parser.parse_args(arguments)
    load = os.getloadavg()
    document, result = run(json.loads(FILE.read_text(encoding="utf-8")))
    if options.write:
        FILE.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    model, source = result["left_out_model"], result["left_out_source"]
    claims = {
        "model_left_out_mean_error_pct": at_most(model["mean_error_pct"], 6.0),
        "model_left_out_p95_covers_pct": at_least(model["p95_covers_pct"], 95.0),
        "model_left_out_p95_excess_pct": at_most(model["p95_excess_pct"], 18.0),
        "source_left_out_p95_covers_pct": at_least(source["p95_covers_pct"], 95.0),
    }
    return finish(result, claims, repeats=1, load=load, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
