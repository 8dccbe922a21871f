"""Do drawn faults look like the recorded ones, and where do the model's constants come from?

Fits the node part of `twin.faults.FaultModel` to the public trace of 400 servers over 349 days
(InfiniteHBD, SIGCOMM 2025; `traces/infinitehbd-faults` of `IRONGRID_DATA`) and the spot part to
`traces/bamboo-preemptions`, compares the constants in the code with the fit, and what the model
draws with what was recorded.

python validation/fault_fit.py [--json]
"""

import argparse
import csv
import gzip
import os
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks.report import at_most, finish

from irongrid.twin.data import data_folder
from irongrid.twin.faults import DAY_S, FaultKind, FaultModel, node_faults
from irongrid.twin.fleets import pool
from irongrid.units import NS_PER_S

SERVERS = 400
DAYS = 349.0
REPEATS = 40
Row = tuple[int, float, float, str]


def main() -> int:
    """Fit, draw, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    load = os.getloadavg()
    recorded = read()
    fit, model = fitted(recorded) | {"spot_per_node_h": taken_back_per_h()}, FaultModel()
    of_code = {name: float(getattr(model, name)) for name in fit}
    told = looks(recorded)
    drawn = [looks(draw(model, seed)) for seed in range(REPEATS)]
    medians = {name: float(np.median([one[name] for one in drawn])) for name in told}
    worst_constant = max(abs(of_code[name] / fit[name] - 1) for name in fit)
    figures: dict[str, Any] = {
        "faults": len(recorded),
        **{f"fitted_{name}": round(value, 5) for name, value in fit.items()},
        **{f"recorded_{name}": round(value, 4) for name, value in told.items()},
        **{f"drawn_{name}": round(value, 4) for name, value in medians.items()},
        "worst_constant_error": round(worst_constant, 5),
    }

    def off(name: str) -> float:
        return abs(medians[name] / told[name] - 1)

    claims = {
        # The code's constants are the fit, rounded.
        "worst_constant_error": at_most(worst_constant, 0.005),
        "faults_error": at_most(off("faults_per_1000_node_days"), 0.10),
        "worst_tenth_error": at_most(off("worst_tenth_share"), 0.10),
        "gap_cv_error": at_most(off("gap_cv"), 0.10),
        "repair_median_error": at_most(off("repair_median_days"), 0.10),
        "repair_p90_error": at_most(off("repair_p90_days"), 0.30),
        "repair_p99_error": at_most(off("repair_p99_days"), 0.30),
    }
    return finish(figures, claims, repeats=REPEATS, load=load, as_json=options.json)


def read() -> list[Row]:
    """Server, start and end in days, class."""
    path = data_folder("traces/infinitehbd-faults") / "faults.csv.gz"
    with gzip.open(path, "rt") as lines:
        return [
            (int(row["node"]), float(row["start_day"]), float(row["end_day"]), row["class"])
            for row in csv.DictReader(lines)
        ]


def fitted(rows: list[Row]) -> dict[str, float]:
    """The constants, by moments; the concentration is that of a negative binomial count."""
    counts = np.bincount([row[0] for row in rows], minlength=SERVERS)
    starts = np.sort([row[1] for row in rows])
    gaps = np.diff(starts)
    lasts_s = np.array([row[2] - row[1] for row in rows]) * DAY_S
    return {
        "per_node_day": len(rows) / (SERVERS * DAYS),
        "concentration": counts.mean() ** 2 / (counts.var(ddof=1) - counts.mean()),
        "gap_cv": gaps.std() / gaps.mean(),
        "repair_median_s": float(np.median(lasts_s)),
        "repair_mean_s": float(lasts_s.mean()),
        "device_share": sum(row[3] == "GPU" for row in rows) / len(rows),
    }


def taken_back_per_h() -> float:
    """How often a spot node of Bamboo's p3 trace was taken back, per hour of its life."""
    path = data_folder("traces/bamboo-preemptions") / "p3_trace.csv.gz"
    alive: set[str] = set()
    taken, node_h, before_h = 0, 0.0, 0.0
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            at_h = float(row["time_ms"]) / 3.6e6
            node_h += len(alive) * (at_h - before_h)
            before_h = at_h
            taken += row["event"] == "remove"
            (alive.add if row["event"] == "add" else alive.discard)(row["node"])
    return taken / node_h


def looks(rows: list[Row]) -> dict[str, float]:
    """What a reader of the trace would see."""
    counts = np.sort(np.bincount([row[0] for row in rows], minlength=SERVERS))[::-1]
    starts = np.sort([row[1] for row in rows])
    gaps = np.diff(starts)
    days = np.array([row[2] - row[1] for row in rows])
    return {
        "faults_per_1000_node_days": len(rows) / (SERVERS * DAYS) * 1_000,
        "worst_tenth_share": counts[: SERVERS // 10].sum() / counts.sum(),
        "gap_cv": gaps.std() / gaps.mean(),
        "repair_median_days": float(np.median(days)),
        "repair_p90_days": float(np.percentile(days, 90)),
        "repair_p99_days": float(np.percentile(days, 99)),
    }


def draw(model: FaultModel, seed: int) -> list[Row]:
    """The same fleet for the same time, drawn."""
    fleet = pool(SERVERS)
    number = {node.id: at for at, node in enumerate(fleet)}
    day_ns = DAY_S * NS_PER_S
    faults = node_faults(model, fleet, [], seed)
    return [
        (
            number[fault.node],
            fault.at_ns / day_ns,
            fault.until_ns / day_ns,
            "GPU" if fault.kind is FaultKind.DEVICE else "other",
        )
        for fault in takewhile(lambda fault: fault.at_ns < DAYS * day_ns, faults)
    ]


if __name__ == "__main__":
    sys.exit(main())
