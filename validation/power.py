"""Does draw follow our power model on the devices whose power was measured?

    python -m validation.power [--json]

The traces give epoch time and average device power of training jobs over batch sizes and power
limits (Zeus, NSDI 2023). Three things are checked on each device: jobs that compute draw one level
and jobs that wait another, whatever the batch; between them draw follows the share of time in
work; and a device held below its draw slows down by the law that step times use.

The shares in `cost.energy.PowerCoefficients` are the medians of what is found here.
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.report import at_most, finish

from irongrid.cost.energy import PowerCoefficients

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("IRONGRID_DATA", ROOT.parent / "shared" / "data"))
TRACES = DATA / "energy" / "zeus-power"
# Watts: the limit of the traces' cards, and their idle draw as in the device catalog (public
# nvidia-smi outputs, 2026-11); the P100's and the RTX 6000's are estimates there.
DEVICES = {"v100": (250, 35), "p100": (250, 30), "a40": (300, 23), "rtx6000": (260, 25)}
# Networks by what they do to a device: NCF waits for its host, ShuffleNet on small images does so
# at small batches, the others compute.
_WAITING, _SWEPT = "ncf", "shufflenetv2"
_COMPUTING = ("resnet50", "bert_base_uncased")
# Caps below this share of the free draw leave the range in which clocks follow the law.
_DEEPEST_CAP = 0.65
# What a job held by a cap draws of it: the limiter stays below its limit.
_UNDER_CAP = 0.94


@dataclass(frozen=True, slots=True)
class Run:
    """One job at one batch size and power limit."""

    network: str
    job: tuple[str, ...]
    batch: int
    limit_watts: float
    epoch_s: float
    watts: float


@dataclass(frozen=True, slots=True)
class Shares:
    """Levels of one device, as shares of the way from idle to its limit."""

    waiting: float
    busy: float


def read(device: str) -> list[Run]:
    """The trace of one device."""
    with (TRACES / f"power_{device}.csv").open(encoding="utf-8", newline="") as file:
        return [
            Run(
                row["network"],
                (row["dataset"], row["network"], row["optimizer"], row["batch_size"]),
                int(float(row["batch_size"])),
                float(row["power_limit"]),
                float(row["time_per_epoch"]),
                float(row["average_power"]),
            )
            for row in csv.DictReader(file)
        ]


def _free(runs: Iterable[Run], *networks: str) -> list[Run]:
    """Runs of these networks at the highest limit."""
    runs = list(runs)
    top = max(run.limit_watts for run in runs)
    return [run for run in runs if run.network in networks and run.limit_watts == top]


def shares_of(device: str, runs: Sequence[Run]) -> Shares:
    """The levels at which jobs of the two kinds draw, at the median."""
    limit, idle = DEVICES[device]

    def level(*networks: str) -> float:
        watts = float(np.median([run.watts for run in _free(runs, *networks)]))
        return (watts - idle) / (limit - idle)

    return Shares(level(_WAITING), level(*_COMPUTING))


def _watts(device: str, shares: Shares, load: float) -> float:
    limit, idle = DEVICES[device]
    share = shares.waiting + (shares.busy - shares.waiting) * load
    return idle + share * (limit - idle)


def level_error(device: str, runs: Sequence[Run], shares: Shares) -> float:
    """Mean error of draw, over the batch sizes of the jobs that compute and of those that wait."""
    kinds = [(_free(runs, *_COMPUTING), 1.0), (_free(runs, _WAITING), 0.0)]
    errors = [
        abs(_watts(device, shares, load) / run.watts - 1) for kind, load in kinds for run in kind
    ]
    return float(np.mean(errors))


def sweep_error(device: str, runs: Sequence[Run], shares: Shares) -> float:
    """Mean error of draw as the batch grows, up to the batch with the best rate.

    The rate relative to the best one is taken for the share of time in work, and the sweep's own
    level at its best rate for the draw in work: its kernels are too short to draw all.
    """
    free = _free(runs, _SWEPT)
    limit, idle = DEVICES[device]
    errors: list[float] = []
    for optimizer in sorted({run.job[2] for run in free}):
        sweep = [run for run in free if run.job[2] == optimizer]
        best = min(sweep, key=lambda run: run.epoch_s)
        own = Shares(shares.waiting, (best.watts - idle) / (limit - idle))
        errors += [
            abs(_watts(device, own, best.epoch_s / run.epoch_s) / run.watts - 1)
            for run in sweep
            if run.batch <= best.batch
        ]
    return float(np.mean(errors))


def cap_errors(runs: Sequence[Run], exponent: float) -> tuple[float, float, int]:
    """Mean errors of time and of energy of computing jobs under a cap, and how many there are.

    The law: rate follows (cap / free draw) to the exponent; draw is a fixed share of the cap.
    """
    free = {run.job: run for run in _free(runs, *_COMPUTING)}
    times: list[float] = []
    energies: list[float] = []
    for run in runs:
        base = free.get(run.job)
        if base is None or not _DEEPEST_CAP <= run.limit_watts / base.watts < 1:
            continue
        cap = run.limit_watts / base.watts
        slower, measured = cap**-exponent, run.epoch_s / base.epoch_s
        times.append(abs(slower / measured - 1))
        energies.append(abs(slower * cap * _UNDER_CAP / (measured * run.watts / base.watts) - 1))
    return float(np.mean(times)), float(np.mean(energies)), len(times)


def run(exponent: float) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Figures and claims of all devices."""
    traces = {device: read(device) for device in DEVICES}
    found = {device: shares_of(device, runs) for device, runs in traces.items()}
    figures: dict[str, Any] = {}
    claims: dict[str, dict[str, Any]] = {}
    for device, runs in traces.items():
        shares = found[device]
        time, energy, count = cap_errors(runs, exponent)
        figures[device] = {
            "waiting_share": round(shares.waiting, 3),
            "busy_share": round(shares.busy, 3),
            "busy_level_from_the_others_error_pct": round(100 * _left_out(device, found), 1),
            "capped_runs": count,
        }
        for name, value, limit in (
            ("level", level_error(device, runs, shares), 10.0),
            ("sweep", sweep_error(device, runs, shares), 15.0),
            ("capped_time", time, 5.0),
            ("capped_energy", energy, 6.0),
        ):
            claims[f"{device}_{name}_error_pct"] = at_most(round(100 * value, 1), limit)
    shipped = PowerCoefficients()
    for name in ("waiting", "busy"):
        median = float(np.median([getattr(shares, name) for shares in found.values()]))
        figures[f"{name}_share_median"] = round(median, 3)
        off = abs(median - getattr(shipped, f"{name}_share"))
        claims[f"shipped_{name}_share_off"] = at_most(round(off, 3), 0.01)
    left_out = [_left_out(device, found) for device in DEVICES]
    claims["busy_level_left_out_error_pct"] = at_most(
        round(100 * float(np.mean(left_out)), 1), 15.0
    )
    return figures, claims


def _left_out(device: str, found: dict[str, Shares]) -> float:
    """Error of a device's level in work if only the other devices had been measured."""
    others = float(np.median([shares.busy for name, shares in found.items() if name != device]))
    said = _watts(device, Shares(0.0, others), 1.0)
    return abs(said / _watts(device, found[device], 1.0) - 1)


def main(arguments: Sequence[str]) -> int:
    """Check, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    options = parser.parse_args(arguments)
    load = os.getloadavg()
    path = ROOT / "src" / "irongrid" / "catalog" / "coefficients.json"
    exponent = float(json.loads(path.read_text(encoding="utf-8"))["power_exponent"])
    figures, claims = run(exponent)
    figures["rate_exponent"] = exponent
    return finish(figures, claims, repeats=1, load=load, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
