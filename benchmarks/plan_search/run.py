"""How fast is the best plan of ten million found, and is it the best one?"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

# One core: threads of a matrix product would count as process time all the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benchmarks.plan_search.brute_force import agreements  # noqa: E402
from benchmarks.report import at_least, at_most, finish, say  # noqa: E402

from irongrid.cost.coefficients import Coefficients  # noqa: E402
from irongrid.domain.codec import to_json  # noqa: E402
from irongrid.domain.fleet import Fleet  # noqa: E402
from irongrid.domain.training import Training  # noqa: E402
from irongrid.planner.curve import scaling_curve  # noqa: E402
from irongrid.planner.question import Question  # noqa: E402
from irongrid.planner.search import search  # noqa: E402
from irongrid.planner.space import Space  # noqa: E402
from irongrid.spec.catalog import load_coefficients, load_fleet, model  # noqa: E402

CURVE_DEVICES = 16_384
Answered = TypeVar("Answered")


def declared(document: dict[str, Any]) -> Question:
    """The question of the space's file."""
    training = Training(
        global_batch=document["global_batch"],
        seq_len=document["seq_len"],
        runtime=document["runtime"],
    )
    space = Space(**{name: tuple(values) for name, values in document["space"].items()})
    fleet = load_fleet(str(ROOT / document["fleet"]))
    return Question(
        model=model(document["model"]),
        training=training,
        fleet=fleet,
        devices=fleet.devices,
        space=space,
    )


def resized(fleet: Fleet, devices: int) -> Fleet:
    """The fleet with another count of devices in its one pool."""
    (pool,) = fleet.pools
    *inner, site = pool.levels
    wide = replace(site, devices=max(devices, site.devices))
    nodes = devices // pool.devices_per_node
    return replace(fleet, pools=(replace(pool, nodes=nodes, levels=(*inner, wide)),))


def timed(repeats: int, ask: Callable[[], Answered]) -> tuple[float, float, Answered]:
    """Median process time, median wall time, and the last answer."""
    process, wall = [], []
    for _ in range(repeats):
        process_s, wall_s = time.process_time(), time.perf_counter()
        answer = ask()
        process.append(time.process_time() - process_s)
        wall.append(time.perf_counter() - wall_s)
    return statistics.median(process), statistics.median(wall), answer


def figures_of(question: Question, coefficients: Coefficients, repeats: int) -> dict[str, Any]:
    """All the speeds."""
    seconds, wall, answer = timed(repeats, lambda: search(question, coefficients))
    say(f"search and why: {seconds:.3f} s of process time, {wall:.3f} s wall")
    alone_s, alone_wall, _ = timed(repeats, lambda: search(question, coefficients, explain=False))
    say(f"search alone: {alone_s:.3f} s of process time, {alone_wall:.3f} s wall")
    best = answer.best
    # What a runtime leaves open in all its breadth, as a scheduler asks for it.
    usual = replace(
        question,
        space=None,
        devices=None,
        training=replace(question.training, runtime="megatron"),
        fleet=resized(question.fleet, CURVE_DEVICES),
    )
    curve_s, curve_wall, curve = timed(repeats, lambda: scaling_curve(usual, coefficients))
    say(f"curve of {len(curve.points)} points: {curve_s:.3f} s of process time")
    # Sixteen nodes are lost: plan anew for what is left.
    left = resized(question.fleet, question.fleet.devices - 128)
    again = replace(usual, fleet=left, devices=left.devices)
    replan_s, replan_wall, other = timed(
        repeats, lambda: search(again, coefficients, explain=False)
    )
    say(f"re-plan: {replan_s:.3f} s of process time")
    return {
        "candidates": answer.effort.candidates,
        "families": answer.effort.families,
        "after_bounds": answer.effort.after_bounds,
        "evaluated": answer.effort.evaluated,
        "seconds": seconds,
        "wall_seconds": wall,
        "search_alone_seconds": alone_s,
        "search_alone_wall_seconds": alone_wall,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "curve_seconds": curve_s,
        "curve_wall_seconds": curve_wall,
        "curve_points": len(curve.points),
        "curve_devices": CURVE_DEVICES,
        "replan_seconds": replan_s,
        "replan_wall_seconds": replan_wall,
        "replan_step_time_s": other.best.step_time_s if other.plans else None,
        "best": {
            "plan": to_json(best.plan),
            "step_time_s": best.step_time_s,
            "mfu": best.mfu,
            "peak_memory_bytes_p95": best.peak_memory_bytes_p95,
        },
    }


def main() -> int:
    """Run all parts and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--spaces", type=int, default=50, help="reduced spaces to price in full")
    options = parser.parse_args()
    load = os.getloadavg()
    question = declared(json.loads((Path(__file__).parent / "space.json").read_text()))
    coefficients = Coefficients.from_json(load_coefficients())
    figures = figures_of(question, coefficients, options.repeats)
    same, with_plan, priced = agreements(question, coefficients, options.spaces, seed=1)
    say(f"brute force: {same} of {options.spaces} spaces agree")
    figures |= {
        "spaces": options.spaces,
        "spaces_same": same,
        "spaces_with_a_plan": with_plan,
        "spaces_candidates": priced,
    }
    claims = {
        "candidates": at_least(figures["candidates"], 10_000_000),
        "spaces_same": at_least(same, options.spaces),
        "seconds": at_most(figures["seconds"], 1.0),
        "curve_seconds": at_most(figures["curve_seconds"], 2.0),
        "replan_seconds": at_most(figures["replan_seconds"], 0.2),
        "peak_memory_bytes": at_most(figures["peak_memory_bytes"], 10**9),
    }
    return finish(figures, claims, repeats=options.repeats, load=load, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
