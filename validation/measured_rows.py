"""Predict measured rows, each at its own configuration.

    python validation/measured_rows.py --rows FILE.csv --out FILE.csv
        [--holdout none|model|source] [--calibrate N] [--json]

`none` uses the shipped coefficients; `model` and `source` refit for each group of rows without the
group, from the public rows and the file's. With `--calibrate N` the first N rows by row_id of each
source and device may be learnt from; they are not predicted. A row's own measurements never enter
its prediction.
"""

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks.report import at_least, at_most, finish, say
from validation.errors import figures_of
from validation.holdout import calibration_rows, left_out
from validation.learn import Learnt, Prediction, learn, learnt_from, predict, usable
from validation.memory_of import fits, peak_gib
from validation.rows import Row, measured_csv, read_rows, resolve
from validation.settle import settled

from irongrid.spec.catalog import load_coefficients

COLUMNS = (
    "row_id", "step_time_s", "step_time_s_p90", "peak_memory_gib", "peak_memory_gib_p95",
    "assumed", "not_expressible",
)  # fmt: skip

# Mean error in per cent, at most, by what is left out and whether rows of it are shown, and by kind
# of row. Rows whose device no other source measured are in `source` too, so that the limit of FSDP
# rows is in tests/validation/test_limits.py, which leaves them out.
LIMITS: dict[tuple[str, bool], dict[str, float]] = {
    ("model", False): {"dense": 7.0, "vtrain_single": 4.0, "modern": 9.0},
    ("model", True): {"modern": 8.0},
    ("source", False): {"dense": 9.0},
    ("source", True): {"dense": 7.0, "modern": 10.0},
}


def public_rows() -> list[Row]:
    """The public measured rows, as far as they are on this machine."""
    if not measured_csv().exists():
        say(f"{measured_csv()} is missing: set IRONGRID_DATA; learning from the given rows alone")
        return []
    return settled(read_rows(measured_csv()))


def predicted(rows: Sequence[Row], holdout: str, calibrate: int) -> Prediction:
    """Step time of each row by coefficients that may know it no better than asked."""
    shipped = learnt_from(load_coefficients())
    rows = resolve(rows, shipped.coefficients, fits)
    if holdout == "none" and not calibrate:
        return predict(rows, shipped.coefficients)
    if holdout == "none":
        shown = usable(calibration_rows(rows, calibrate))
        learnt = calibrated(shown, shipped)
        return predict(rows, learnt.coefficients)
    ids = {row.row_id for row in rows}
    known = usable([*rows, *(row for row in public_rows() if row.row_id not in ids)])
    start = learn(known, rounds=40, spread=shipped.coefficients.spread)
    return left_out(rows, known, start, holdout, calibrate)


def calibrated(shown: Sequence[Row], shipped: Learnt) -> Learnt:
    """The shipped fit with some rows of the file learnt as well."""
    ids = {row.row_id for row in shown}
    known = usable([row for row in public_rows() if row.row_id not in ids])
    return learn([*known, *shown], shipped, rounds=12, spread=shipped.coefficients.spread)


def _write(path: Path, rows: Sequence[Row], time: Prediction, memory: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for index, row in enumerate(rows):
            numbers = [
                time.step_time_s[index], time.step_time_s_p90[index],
                memory[0][index], memory[1][index],
            ]  # fmt: skip
            shown = [f"{value:.6g}" for value in numbers]
            if row.not_expressible:
                shown = [""] * 4
            writer.writerow([row.row_id, *shown, "; ".join(row.assumed), row.not_expressible])


def main(arguments: Sequence[str]) -> int:
    """Predict, write, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--holdout", choices=("none", "model", "source"), default="none")
    parser.add_argument("--calibrate", type=int, default=0, metavar="N")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    options = parser.parse_args(arguments)
    load = os.getloadavg()
    rows = settled(read_rows(options.rows))
    time = predicted(rows, options.holdout, options.calibrate)
    memory = peak_gib(rows, learnt_from(load_coefficients()).coefficients, options.holdout)
    spent = {row.row_id for row in calibration_rows(rows, options.calibrate)}
    keep = np.array([row.row_id not in spent for row in rows], dtype=bool)
    left = [row for row, kept in zip(rows, keep, strict=True) if kept]
    time = Prediction(time.step_time_s[keep], time.step_time_s_p90[keep], time.novelty[keep])
    _write(options.out, left, time, (memory[0][keep], memory[1][keep]))
    figures = figures_of(left, time, (memory[0][keep], memory[1][keep]))
    claims = {"predicted_pct": at_least(figures["predicted_pct"], 95.0)}
    for kind, limit in LIMITS.get((options.holdout, bool(options.calibrate)), {}).items():
        if kind in figures:
            claims[f"{kind}_mean_pct"] = at_most(figures[kind]["mean_pct"], limit)
            claims[f"{kind}_p90_covers_pct"] = at_least(figures[kind]["p90_covers_pct"], 90.0)
    return finish(figures, claims, repeats=1, load=load, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
