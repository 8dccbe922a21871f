"""How fast does a trace pass through the real control plane? See README.md.

python benchmarks/replay/run.py [--json] [--repeats 5] [--head 0]
"""

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.report import at_least, finish, say

from irongrid.twin.data import data_folder
from irongrid.twin.replay import ReplayOptions, replay


def main() -> int:
    """Replay with and without invariants, one after the other, and print jobs per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--head", type=int, default=0, help="only the first jobs; 0 is all")
    options = parser.parse_args()
    load = os.getloadavg()
    runs: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for repeat in range(options.repeats):
        for check in (False, True):
            say(f"run {repeat + 1} of {options.repeats}, invariants {'on' if check else 'off'}")
            runs[check].append(_replay(options.head, check=check))
    figures: dict[str, Any] = {"jobs": runs[False][0]["jobs"]}
    for check, name in ((False, "fifo"), (True, "fifo_checked")):
        for unit in ("wall_s", "cpu_s"):
            each = [run["jobs"] / run[unit] for run in runs[check]]
            key = f"{name}_jobs_per_s" if unit == "wall_s" else f"{name}_cpu_jobs_per_s"
            figures[key] = round(statistics.median(each), 1)
    figures["avg_jct_s"] = runs[False][0]["avg_jct_s"]
    claims = {
        "fifo_jobs_per_s": at_least(figures["fifo_jobs_per_s"], 5_000),
        "fifo_checked_jobs_per_s": at_least(figures["fifo_checked_jobs_per_s"], 500),
    }
    return finish(figures, claims, repeats=options.repeats, load=load, as_json=options.json)


def _replay(head: int, *, check: bool) -> dict[str, Any]:
    path = data_folder("traces") / "philly" / "jobs_to_2017-11-14.csv.gz"
    options = ReplayOptions(dataset="philly", workload=path, policy="fifo", head=head, check=check)
    return replay(options)


if __name__ == "__main__":
    sys.exit(main())
