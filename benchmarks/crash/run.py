"""Does anything acknowledged get lost? See README.md beside this file.

python benchmarks/crash/run.py [--json] [--kills 200] [--seed 0] [--quick]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.crash.kills import random_kills
from benchmarks.crash.power_loss import power_loss, stale_appends
from benchmarks.crash.sweep import sweep
from benchmarks.report import at_least, at_most, finish, say


def main() -> int:
    """Run all three parts and print their counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--kills", type=int, default=200, help="random kills (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="10 kills and every 8th commit")
    options = parser.parse_args()
    wanted = 10 if options.quick else options.kills
    load, began = os.getloadavg(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="irongrid-crash-") as folder:
        say(f"{wanted} random kills of the server under load")
        kills = random_kills(Path(folder, "kills"), kills=wanted, seed=options.seed)
        say("a kill at each commit of one scenario")
        commits = sweep(Path(folder, "sweep"), every=8 if options.quick else 1)
    say("power loss at each sync")
    power = power_loss(
        rounds=8 if options.quick else 40, images=4 if options.quick else 12, seed=options.seed
    )
    stale = stale_appends()
    figures: dict[str, Any] = {
        "kills": kills.kills,
        "lost": kills.lost + commits.lost + power.lost,
        "double_launches": kills.double_launches + commits.double_launches + stale,
        "invariant_breaks": kills.invariant_breaks
        + commits.invariant_breaks
        + power.integrity_failures,
        "not_finished": kills.not_finished,
        "orphans": kills.orphans + commits.orphans,
        "acknowledged": kills.acknowledged,
        "commits_swept": commits.commits,
        "power_loss_points": power.points,
        "power_loss_images": power.images,
        "restart_s_median": round(statistics.median(kills.restart_s), 3),
        "restart_s_max": round(max(kills.restart_s), 3),
        "seconds": round(time.monotonic() - began, 1),
        "parts": {"kills": asdict(kills), "sweep": asdict(commits)},
    }
    claims = {
        name: at_most(float(figures[name]), 0)
        for name in ("lost", "double_launches", "invariant_breaks", "not_finished", "orphans")
    }
    claims["kills"] = at_least(kills.kills, 10 if options.quick else 200)
    claims["seconds"] = at_most(float(figures["seconds"]), 900)
    return finish(figures, claims, repeats=wanted, load=load, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
