"""How close is peak memory to the measured runs? Fits its coefficients, and says so.

    python -m validation.memory_fit [--json] [--write]

Peak memory is arithmetic; what is fitted are the few figures that arithmetic does not know, each
around a prior with its reason. `--write` puts the fit into `catalog/memory.json`. Errors are of
runs left out of the fit: by model within its source, and by source.
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
from validation.memory_rows import BEHAVIOURS, GIB, MemoryRow, columns, read_rows

from irongrid.cost.columns import Layout, Machine, PeakMemory, Work
from irongrid.cost.memory import peak_memory
from irongrid.cost.memory_coefficients import MemoryCoefficients

Array = NDArray[np.float64]

FILE = Path(__file__).parents[1] / "src" / "irongrid" / "catalog" / "memory.json"
# What a measured run may differ by from another of the same configuration.
_NOISE = 0.04
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
    # The block in work and the one that is gathered ahead.
    Parameter("shared", "gathered_blocks", 2.0, 0.3),
    Parameter("shared", "waiting_chunks", 1.0, 0.5),
    Parameter("shared", "fragmentation", 0.03, 0.5),
    # 2 bytes in half precision, 4 in full for the loss, 4 for its gradient, 2 for the former's.
    Parameter("*", "logit_bytes", 12.0, 0.25),
    Parameter("megatron-2021", "kept_share", 1.0, 0.1, copies=("megatron-2022",)),
    Parameter("megatron-2021", "fixed_bytes", 1.5e9, 0.5, copies=("megatron-2022",)),
    Parameter("megatron-deepspeed", "kept_share", 1.0, 0.1, copies=("zero3-2021",)),
    # Two communication buckets of 500 million elements each, DeepSpeed's default, and a context.
    Parameter("megatron-deepspeed", "fixed_bytes", 4e9, 0.5, copies=("zero3-2021",)),
    Parameter("megatron-deepspeed", "logit_bytes", 8.0, 0.3),
    Parameter("megatron-deepspeed", "gradient_bytes", 2.0, 0.3),
    Parameter("torchtitan", "kept_share", 1.0, 0.1, copies=_TITAN),
    # Every second matrix product and attention's output are saved: 63.5 of 139 KB of an 8B block.
    Parameter("torchtitan", "selective_share", 0.456, 0.1, copies=_TITAN),
    Parameter("torchtitan", "fixed_bytes", 1.5e9, 0.5, copies=_TITAN),
    Parameter("torchtitan", "logit_bytes", 1.0, 0.2, times="*", copies=_TITAN),
)
# The shape of p95's distance from p50; the fit scales all of them alike.
_HEADROOM = {
    "headroom_states": 0.08,
    "headroom_activations": 0.15,
    "headroom_buffers": 0.3,
    "headroom_context": 0.5,
}


@dataclass(frozen=True, slots=True)
class Runs:
    """Measured runs as columns."""

    work: Work
    machine: Machine
    layout: Layout
    measured_gib: Array
    source: NDArray[np.str_]
    model: NDArray[np.str_]

    @classmethod
    def of(cls, rows: Sequence[MemoryRow]) -> "Runs":
        """Columns of these rows."""
        work, machine, layout = columns(rows)
        return cls(
            work,
            machine,
            layout,
            np.array([row.measured_gib for row in rows]),
            np.array([row.source for row in rows]),
            np.array([row.model for row in rows]),
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

    def misses(logs: Array) -> Array:
        said = runs.predicted(document_of(base, logs)).p50_bytes / GIB
        return np.asarray(np.log(said / runs.measured_gib) / _NOISE)

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
    """p50 and p95, GiB, of each run by a fit that saw nothing of its group."""
    p50, p95 = np.zeros(len(groups)), np.zeros(len(groups))
    for group in np.unique(groups):
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
    centre, over = np.mean(p50 / runs.measured_gib) - 1, np.mean((p95 - p50) / runs.measured_gib)
    return float((_EXCESS - centre) / over)


def _figures(runs: Runs, p50: Array, p95: Array) -> dict[str, float]:
    return {
        "mean_error_pct": round(100 * float(np.mean(np.abs(p50 / runs.measured_gib - 1))), 2),
        "p95_covers_pct": round(100 * float(np.mean(p95 >= runs.measured_gib)), 1),
        "p95_excess_pct": round(100 * float(np.mean(p95 / runs.measured_gib - 1)), 1),
    }


def rounded(value: Any) -> Any:
    """Four digits are more than the data says."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def run(base: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fitted document, and its errors on runs that it did not see."""
    rows = read_rows()
    runs = Runs.of(rows)
    keys = np.array([f"{row.source} {row.model}" for row in rows])
    plain = widened(base, 1.0)
    by_model = left_out(plain, runs, keys)
    scale = headroom_scale(runs, *by_model)
    document = rounded(fit(widened(base, scale), runs))
    base = widened(base, scale)
    result: dict[str, Any] = {"rows": len(rows), "headroom_scale": round(scale, 3)}
    for name, groups in (("model", keys), ("source", runs.source)):
        p50, p95 = left_out(base, runs, groups)
        result[f"left_out_{name}"] = _figures(runs, p50, p95)
        for source in np.unique(runs.source):
            chosen = runs.source == source
            result[f"left_out_{name}"][str(source)] = _figures(
                runs.only(chosen), p50[chosen], p95[chosen]
            )
    said = runs.predicted(document)
    result["fitted"] = _figures(runs, said.p50_bytes / GIB, said.p95_bytes / GIB)
    return document, result


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
