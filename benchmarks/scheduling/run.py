"""How do elastic policies compare with the published schedulers? See README.md.

python benchmarks/scheduling/run.py [--json] [--levels none,shared,history] [--baselines] [--pollux]
"""

import argparse
import csv
import os
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.report import at_most, finish, say

from irongrid.twin.data import data_folder
from irongrid.twin.replay import ReplayOptions, replay

# Of the mean ratio to Sia's measured completion time, by what the policy is told.
AVG_JCT_LIMITS = {"none": 0.88, "shared": 0.77, "history": 0.74}
POLLUX_LIMIT = 0.85
# Figure of a replay, and its column in `baselines.csv` with what turns it into that unit.
RATIOS = {
    "avg_jct": ("avg_jct_s", "avg_jct_h", 3600.0),
    "p99_jct": ("p99_jct_s", "p99_jct_h", 3600.0),
    "makespan": ("makespan_s", "makespan_h", 3600.0),
    "gpu_hours": ("gpu_hours", "gpu_hours_per_job", 1.0),
    "rho_max": ("rho_max", "max_rho", 1.0),
}


def main() -> int:
    """Replay every workload that has a measured run of Sia, and print ratios to it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--levels", default="none,shared,history", help="of knowledge")
    parser.add_argument("--baselines", action="store_true", help="our own sia as well")
    parser.add_argument("--pollux", action="store_true", help="workloads 1 to 5 on 64 T4 as well")
    options = parser.parse_args()
    load = os.getloadavg()
    figures: dict[str, Any] = {}
    claims: dict[str, Any] = {}
    for level in options.levels.split(","):
        figures[level] = _against_sia("default", level)
        claims |= _claims(level, figures[level])
    if options.baselines:
        figures["sia_baseline"] = _against_sia("sia", "none")
    if options.pollux:
        figures["pollux"] = _against_pollux()
        ratio = figures["pollux"]["avg_jct_ratio"]
        claims["pollux_avg_jct_ratio"] = at_most(ratio, POLLUX_LIMIT)
    return finish(figures, claims, repeats=1, load=load, as_json=options.json)


def _against_sia(policy: str, level: str) -> dict[str, Any]:
    with (data_folder("sia") / "baselines.csv").open() as file:
        measured = [row for row in csv.DictReader(file) if row["policy"] == "sia"]
    runs: dict[str, dict[str, Any]] = {}
    for row in measured:
        name = f"{row['set']}-{row['workload']}"
        path = data_folder("sia") / "workloads" / row["set"] / f"workload-{row['workload']}.csv"
        found = replay(
            ReplayOptions(
                dataset="sia",
                workload=path,
                policy=policy,
                knowledge=level,
                active_jobs=float(row["mean_active_jobs"]),
            )
        )
        runs[name] = _ratios(found, row)
        say(f"{policy} {level} {name}: {runs[name]}")
    means = {f"{name}_ratio": round(mean(run[name] for run in runs.values()), 4) for name in RATIOS}
    worst = max(run["avg_jct"] for run in runs.values())
    return {**means, "worst_avg_jct_ratio": worst, "runs": runs}


def _ratios(found: dict[str, Any], row: dict[str, str]) -> dict[str, Any]:
    ratios: dict[str, Any] = {}
    for name, (figure, column, unit) in RATIOS.items():
        value = found[figure] / unit
        if name == "gpu_hours":
            value /= found["jobs"]
        ratios[name] = round(value / float(row[column]), 4)
    restarts, decision_ms = found["restarts_per_job"], found["decision_ms"]
    return {**ratios, "restarts_per_job": restarts, "decision_ms": decision_ms}


def _claims(level: str, found: dict[str, Any]) -> dict[str, Any]:
    claims = {
        f"{level}_worst_avg_jct_ratio": at_most(found["worst_avg_jct_ratio"], 1.0),
        f"{level}_p99_jct_ratio": at_most(found["p99_jct_ratio"], 1.05),
        f"{level}_makespan_ratio": at_most(found["makespan_ratio"], 1.05),
        f"{level}_gpu_hours_ratio": at_most(found["gpu_hours_ratio"], 1.05),
        f"{level}_rho_max_ratio": at_most(found["rho_max_ratio"], 1.0),
    }
    if level in AVG_JCT_LIMITS:
        limit = AVG_JCT_LIMITS[level]
        claims[f"{level}_avg_jct_ratio"] = at_most(found["avg_jct_ratio"], limit)
    decisions = [run["decision_ms"] for run in found["runs"].values()]
    claims[f"{level}_decision_ms_mean"] = at_most(max(each["mean"] for each in decisions), 10.0)
    claims[f"{level}_decision_ms_max"] = at_most(max(each["max"] for each in decisions), 100.0)
    return claims


def _against_pollux() -> dict[str, Any]:
    with (data_folder("pollux") / "published-results.csv").open() as file:
        published = {
            row["workload"]: float(row["avg_jct_s"])
            for row in csv.DictReader(file)
            if row["experiment"] == "jobload" and row["setting"] == "pollux-1.0"
        }
    runs: dict[str, float] = {}
    for number in range(1, 6):
        path = data_folder("pollux") / "load" / f"workload-{number}.csv"
        found = replay(ReplayOptions(dataset="pollux", workload=path, policy="default"))
        runs[path.stem] = round(found["avg_jct_s"] / published[path.stem], 4)
        say(f"pollux {path.stem}: {runs[path.stem]}")
    return {"avg_jct_ratio": round(mean(runs.values()), 4), "runs": runs}


if __name__ == "__main__":
    sys.exit(main())
