"""Fit the coefficients of step time on the measured rows, and write them to the catalog.

    python validation/fit.py [--check] [--json]

`--check` writes nothing and says whether the file is what a fit gives.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks.report import at_least, at_most, finish
from validation.learn import Learnt, document_of, learn, predict, usable
from validation.rows import measured_csv, read_rows
from validation.settle import settled

from irongrid.cost.spread import Spread

FILE = Path(__file__).resolve().parents[1] / "src" / "irongrid" / "catalog" / "coefficients.json"
# How far the spread reaches, from runs left out by model and by source: see validation/README.md.
SPREAD = Spread(known=0.07, novel=0.22)


def rounded(value: Any) -> Any:
    """Five digits are more than the data says."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def written(learnt: Learnt) -> str:
    """The file's text: one line for each coefficient, and for each point of the residual."""
    document = rounded(document_of(learnt))
    residual = document.pop("residual")
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()]
    points = ",\n".join(f"  {json.dumps(point)}" for point in residual["points"])
    pull = json.dumps(residual["pull"])
    lines.append(f' "residual": {{"pull": {pull}, "points": [\n{points}\n ]}}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(arguments: Sequence[str]) -> int:
    """Fit, report, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    options = parser.parse_args(arguments)
    load = os.getloadavg()
    rows = usable(settled(read_rows(measured_csv())))
    learnt = learn(rows, rounds=40, spread=SPREAD)
    text = written(learnt)
    same = text == FILE.read_text(encoding="utf-8")
    if not options.check:
        FILE.write_text(text, encoding="utf-8")
    error = predict(rows, learnt.coefficients).step_time_s
    measured = np.array([row.step_time_s for row in rows], dtype=float)
    mean = float(np.mean(np.abs(error / measured - 1)))
    figures = {"rows": len(rows), "mean_error_pct": round(100 * mean, 2)}
    claims = {"mean_error_pct": at_most(figures["mean_error_pct"], 3.0)}
    if options.check:
        claims["file_is_the_fit"] = at_least(float(same), 1.0)
    return finish(figures, claims, repeats=1, load=load, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
