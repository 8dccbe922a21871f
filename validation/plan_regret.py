"""Does the planner's first choice among measured configurations hold?

    python validation/plan_regret.py --rows FILE.csv [--holdout none|model|source] [--json]

A group is a source, model, device, number of devices, batch, sequence and precision with at least
three measured rows; ties go by row_id. Regret is the measured time of the row that is predicted
fastest, over the fastest measured. Spearman's rank correlation is taken inside each model.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks.report import at_most, finish
from numpy.typing import NDArray
from validation.measured_rows import predicted
from validation.rows import Row, read_rows
from validation.settle import settled

Floats = NDArray[np.float64]
LEAST = 3


def regrets(rows: Sequence[Row], time_s: Floats) -> dict[str, list[float]]:
    """Regret of each group, by source."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.step_time_s is not None and not row.not_expressible:
            groups[row.group].append(index)
    found: dict[str, list[float]] = defaultdict(list)
    for group, members in groups.items():
        if len(members) < LEAST:
            continue
        first = min(members, key=lambda i: (time_s[i], rows[i].row_id))
        best = min(rows[i].step_time_s or 0.0 for i in members)
        found[group[0]].append((rows[first].step_time_s or 0.0) / best - 1)
    return found


def _ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    for value in np.unique(values):
        same = values == value
        ranks[same] = ranks[same].mean()
    return ranks


def spearman(one: Floats, other: Floats) -> float:
    """Rank correlation; 0 where one side is constant."""
    a, b = _ranks(one), _ranks(other)
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def correlations(rows: Sequence[Row], time_s: Floats) -> dict[str, list[float]]:
    """Rank correlation inside each model that has enough rows, by source."""
    models: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.step_time_s is not None and not row.not_expressible:
            models[row.source, row.model].append(index)
    found: dict[str, list[float]] = defaultdict(list)
    for (source, _), members in models.items():
        if len(members) >= LEAST:
            measured = np.array([rows[i].step_time_s for i in members], dtype=float)
            found[source].append(spearman(measured, time_s[members]))
    return found


def figures_of(rows: Sequence[Row], time_s: Floats) -> dict[str, dict[str, Any]]:
    """The figures of each source that has a group."""
    ranked = correlations(rows, time_s)
    return {
        source: {
            "groups": len(regret),
            "regret_mean_pct": round(100 * float(np.mean(regret)), 3),
            "regret_max_pct": round(100 * float(np.max(regret)), 2),
            "spearman_mean": round(float(np.mean(ranked[source])), 4),
        }
        for source, regret in regrets(rows, time_s).items()
    }


def main(arguments: Sequence[str]) -> int:
    """Predict and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--holdout", choices=("none", "model", "source"), default="none")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    options = parser.parse_args(arguments)
    load = os.getloadavg()
    rows = [row for row in settled(read_rows(options.rows)) if row.counts]
    sources = figures_of(rows, predicted(rows, options.holdout, 0).step_time_s)
    limits = {"vtrain_multi": 1.3, "vtrain_single": 1.0}
    claims = {
        f"{name}_regret_mean_pct": at_most(sources[name]["regret_mean_pct"], limit)
        for name, limit in limits.items()
        if name in sources
    }
    return finish({"sources": sources}, claims, repeats=1, load=load, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
