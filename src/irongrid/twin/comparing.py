"""Two runs side by side, paired job by job."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irongrid.twin.runs import Run

# Of `--json` and the table; all of them are plain numbers of `Run.figures`.
COMPARED = (
    "avg_jct_s", "median_jct_s", "p99_jct_s", "makespan_s", "avg_queue_s", "p99_queue_s",
    "max_queue_s", "mean_slowdown", "utilisation", "gpu_hours", "restart_gpu_hours",
    "preemptions_per_job", "held_usd", "fleet_usd", "energy_kwh", "carbon_kg", "rho_mean",
    "rho_max",
)  # fmt: skip
# A completion time that moves by less, by this many seconds and this share, counts as the same.
_SAME_S, _SAME_SHARE = 1.0, 0.01
_EXTREMES = 5
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Jobs that are in both runs: the same key, submit and size.

    Attributes:
        first, second: their places in either run.
    """

    first: Ints
    second: Ints


def pairs(first: Run, second: Run) -> Pairs:
    """The jobs that both runs had."""
    places = {key: at for at, key in enumerate(second.keys)}
    found = [
        (at, places[key])
        for at, key in enumerate(first.keys)
        if key in places
        and first.submit_s[at] == second.submit_s[places[key]]
        and first.devices[at] == second.devices[places[key]]
    ]
    both = np.array(found, dtype=np.int64).reshape(-1, 2)
    return Pairs(both[:, 0], both[:, 1])


def compared(first: Run, second: Run) -> dict[str, Any]:
    """The object of `irongrid twin compare --json`."""
    return {
        "first": _side(first),
        "second": _side(second),
        "difference": {name: _difference(first, second, name) for name in COMPARED},
        "paired": paired(first, second),
    }


def _side(run: Run) -> dict[str, Any]:
    return {"scenario": run.name, **run.figures}


def _difference(first: Run, second: Run, name: str) -> dict[str, float | None] | None:
    """Second less first, absolute and in percent of the first; None where one does not know it."""
    before, after = first.figures.get(name), second.figures.get(name)
    if before is None or after is None:
        return None
    percent = round(100 * (after - before) / before, 2) if before else None
    return {"absolute": round(after - before, 5), "percent": percent}


def paired(first: Run, second: Run) -> dict[str, Any]:
    """What became of the same jobs; ratios are second over first."""
    both = pairs(first, second)
    alone = {
        "only_in_first": len(first.keys) - len(both.first),
        "only_in_second": len(second.keys) - len(both.second),
    }
    if not len(both.first):
        return {"jobs": 0, **alone}
    before, after = first.jct_s[both.first], second.jct_s[both.second]
    change = after - before
    same = np.abs(change) <= np.maximum(_SAME_S, _SAME_SHARE * before)
    ratio = np.maximum(after, _SAME_S) / np.maximum(before, _SAME_S)
    return {
        "jobs": len(both.first),
        **alone,
        "earlier": int((~same & (change < 0)).sum()),
        "later": int((~same & (change > 0)).sum()),
        "same": int(same.sum()),
        "mean_change_s": round(float(change.mean()), 3),
        "median_change_s": round(float(np.median(change)), 3),
        "jct_ratio_median": round(float(np.median(ratio)), 4),
        "jct_ratio_p10": round(float(np.quantile(ratio, 0.1)), 4),
        "jct_ratio_p90": round(float(np.quantile(ratio, 0.9)), 4),
        "most_earlier": _extremes(first, both, change, np.argsort(change, kind="stable")),
        "most_later": _extremes(first, both, -change, np.argsort(-change, kind="stable")),
    }


def _extremes(run: Run, both: Pairs, change: Any, order: Ints) -> list[dict[str, Any]]:
    """The jobs that moved most, as far as they moved."""
    return [
        {
            "job": run.keys[both.first[at]],
            "team": run.teams[both.first[at]],
            "devices": int(run.devices[both.first[at]]),
            "change_s": round(float(abs(change[at])), 3),
        }
        for at in order[:_EXTREMES]
        if change[at] < -_SAME_S
    ]
