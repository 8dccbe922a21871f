"""Do our speeds, epochs and restarts give the published simulator's results to the second?

Replays every decision of recorded runs of the Sia artifact (SOSP 2023) on our truth of the sia
set. A job counts as exact if its completion second, its GPU-seconds and its GPU-seconds in restarts
are those of the record.

python validation/golden_replays.py [--golden DIR] [--json]
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import at_least, finish, say

from irongrid.errors import SpecError
from irongrid.twin.data import data_folder
from irongrid.twin.truth.applications import load_applications
from irongrid.twin.truth.golden import golden_runs, replay


def main() -> int:
    """Replay every run of the folder and count exact jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--golden", type=Path, help="folder of golden runs (default: the sia set)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    load = os.getloadavg()
    try:
        sia = data_folder("sia")
        applications = load_applications(sia)
        folder = options.golden or sia / "golden"
        runs: dict[str, Any] = {}
        for run in golden_runs(folder):
            outcomes = replay(folder, run, applications)
            runs[run] = {"jobs": len(outcomes), "jobs_exact": sum(o.exact for o in outcomes)}
            for missed in (outcome for outcome in outcomes if not outcome.exact):
                say(f"{run}: {missed}")
    except SpecError as error:
        say(str(error))
        return 2
    jobs = sum(run["jobs"] for run in runs.values())
    exact = sum(run["jobs_exact"] for run in runs.values())
    claims = {"jobs_exact": at_least(exact, jobs)}
    figures = {"jobs": jobs, "jobs_exact": exact, "runs": runs}
    return finish(figures, claims, repeats=1, load=load, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
