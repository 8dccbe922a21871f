"""How full a cluster can be packed: `irongrid twin replay --dataset openb`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from irongrid.control.invariants import violations
from irongrid.control.state import State
from irongrid.domain.event import JobSubmitted, Recorded
from irongrid.domain.job import WHOLE_MILLI, JobState
from irongrid.errors import Problem, SpecError
from irongrid.scheduler.fragments import Mix
from irongrid.scheduler.packing import Packing, Weigh, balanced, best_fit, fgd
from irongrid.twin.arrivals import Arrivals, few_collections
from irongrid.twin.driver import Driver
from irongrid.twin.report import decision_ms
from irongrid.twin.truth.openb import (
    RULES,
    EndlessFutures,
    arrivals,
    asked_milli,
    cluster,
    pods,
)
from irongrid.twin.truth.world import TraceJob
from irongrid.twin.watch import Watch
from irongrid.units import NS_PER_S

DATASET = "openb"
POLICIES: dict[str, Weigh] = {"default": balanced, "fgd": fgd, "best-fit": best_fit}


def pack(
    workload: Path,
    policy: str,
    *,
    seed: int = 0,
    head: int = 0,
    check: bool = False,
) -> dict[str, Any]:
    """Let a list of pods come in an order drawn from `seed`; the figures of `--json`.

    Args:
        head: replay only so many jobs; 0 is all.
        check: look at every invariant after every event.

    Raises:
        SpecError: bad input.
    """
    weigh = POLICIES.get(policy)
    if weigh is None:
        problem = f"the policy {policy!r} does not place parts of devices"
        fix = f"Use one of {', '.join(POLICIES)}"
        raise SpecError([Problem(field="--policy", problem=problem, fix=fix)])
    fleet = cluster()
    devices = sum(node.devices for node in fleet)
    jobs = arrivals(pods(workload), devices, seed)
    jobs = jobs[:head] if head else jobs
    mix = Mix()
    driver = Driver(fleet, EndlessFutures(), Packing(policy, weigh, mix))
    watch = Watch(driver.state)
    driver.watchers += [_learner(mix), *([watch] if check else [])]
    began, cpu_began = perf_counter(), process_time()
    with few_collections():
        _run(driver, jobs)
    wall_s, cpu_s = perf_counter() - began, process_time() - cpu_began
    state = driver.state
    broken = watch.broken + violations(state)
    assert not broken, broken[:3]
    return {
        "dataset": DATASET,
        "policy": policy,
        "seed": seed,
        **_figures(state, jobs, devices),
        "decision_ms": decision_ms(driver.decision_s),
        "events": state.seq,
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
        "jobs_per_s": round(len(jobs) / wall_s, 1),
        "rules": {
            **RULES,
            "nodes": len(fleet),
            "invariants": "after every event" if check else "at the end",
        },
    }


def _learner(mix: Mix) -> Callable[[Recorded], None]:
    """Tells the mix what the log says of submits."""

    def learn(recorded: Recorded) -> None:
        if isinstance(recorded.event, JobSubmitted):
            mix.learn(recorded.event.spec.resources)

    return learn


def _run(driver: Driver, jobs: tuple[TraceJob, ...]) -> None:
    Arrivals(driver, jobs)
    last_ns = round(jobs[-1].submit_s * NS_PER_S)
    while (now_ns := driver.next_ns()) is not None and now_ns <= last_ns:
        driver.turn(now_ns)


def _figures(state: State, jobs: Sequence[TraceJob], devices: int) -> dict[str, Any]:
    """What is held in the end, by the placements of the jobs themselves."""
    held_milli = sum(
        state.jobs[job].placement.world_size * state.jobs[job].spec.resources.device_milli
        for job in state.active
    )
    asked = sum(asked_milli(job) for job in jobs)
    of = devices * WHOLE_MILLI / 100
    running = [job for job in state.jobs.values() if job.state is JobState.RUNNING]
    return {
        "jobs": len(jobs),
        "placed": len(running),
        "arrived_pct": round(asked / of, 3),
        "allocated_pct": round(held_milli / of, 3),
    }
