"""A recorded trace, replayed under a policy: `irongrid twin replay`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from irongrid.control.invariants import violations
from irongrid.domain.device import Node
from irongrid.errors import Problem, SpecError
from irongrid.scheduler.sizes import sizes_of
from irongrid.twin.arrivals import Arrivals, SpecOf, few_collections, play, users_spec
from irongrid.twin.data import data_folder
from irongrid.twin.driver import Driver
from irongrid.twin.elastic import KNOWLEDGE, ElasticRun, elastic_run, goodputs
from irongrid.twin.elastic import POLICIES as ELASTIC
from irongrid.twin.occupancy import Occupancy
from irongrid.twin.policies import Knowledge, Learner
from irongrid.twin.report import Ended, decision_ms, ended, fairness, summary, utilisation
from irongrid.twin.truth.datasets import read
from irongrid.twin.truth.traces import Workload
from irongrid.twin.truth.world import TraceJob
from irongrid.twin.usage import Usage
from irongrid.twin.watch import Watch
from irongrid.units import NS_PER_S

Observer = Callable[[Driver], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What to replay, and how.

    Attributes:
        nodes: 0 takes the data set's own number.
        head: replay only so many jobs; 0 is all.
        check: look at every invariant after every event.
        history: other workloads of the set, which had ended before this one began.
        active_jobs: fixes the fair share behind rho; 0 counts it for each job.
        knowledge: what elastic policies know, see `twin.elastic`; empty is `none`.
        seed: of the order of arrival, where the data set has none of its own, see `twin.packs`.
    """

    dataset: str
    workload: Path
    policy: str
    nodes: int = 0
    head: int = 0
    check: bool = False
    history: tuple[Path, ...] = ()
    knowledge: str = ""
    active_jobs: float = 0.0
    seed: int | None = None


def replay(options: ReplayOptions, observers: Sequence[Observer] = ()) -> dict[str, Any]:
    """Run it; the figures of `--json`.

    Raises:
        SpecError: bad input.
    """
    return replay_workload(read(options.dataset, options.workload), options, observers)


def replay_workload(
    workload: Workload, options: ReplayOptions, observers: Sequence[Observer] = ()
) -> dict[str, Any]:
    """Run a workload, wherever it comes from; the figures of `--json`.

    Args:
        observers: called with the driver before the first job comes.

    Raises:
        SpecError: bad input.
    """
    fleet = workload.fleet(options.nodes or workload.nodes)
    jobs = workload.jobs[: options.head] if options.head else workload.jobs
    driver, spec_of = _driver(workload, fleet, options)
    began, cpu_began = perf_counter(), process_time()
    watch, usage = Watch(driver.state), Usage(driver.state)
    if options.check:
        driver.watchers.append(watch)
    if _elastic(workload, options):
        driver.watchers.append(usage)
    for observe in observers:
        observe(driver)
    with few_collections():
        held_s = _run(driver, jobs, spec_of)
    wall_s, cpu_s = perf_counter() - began, process_time() - cpu_began
    state = driver.state
    broken = watch.broken + violations(state)
    assert not broken, broken[:3]
    assert len(state.jobs) == sum(state.ended_by_state.values()), "every job has ended"
    rows = [
        ended(job, driver.futures.service_s(job.id), usage.jobs.get(job.id))
        for job in state.jobs.values()
    ]
    window_s = jobs[-1].submit_s - jobs[0].submit_s
    return {
        "dataset": options.dataset,
        "policy": options.policy,
        **summary(rows),
        **fairness(_rho(workload, jobs, rows, options.active_jobs)),
        "utilisation": utilisation(held_s, state.rooms.total, window_s),
        "decision_ms": decision_ms(driver.decision_s),
        "events": state.seq,
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
        "jobs_per_s": round(len(rows) / wall_s, 1),
        "rules": _rules(workload, len(fleet), options),
    }


def _driver(
    workload: Workload, fleet: tuple[Node, ...], options: ReplayOptions
) -> tuple[Driver, SpecOf]:
    """The world of a workload, and how its jobs are handed in."""
    if _elastic(workload, options):
        run = elastic_replay(workload, fleet, options)
        return run.driver, run.spec
    if options.knowledge:
        problem = f"{options.policy} knows what it knows here: levels are for elastic jobs"
        fix = f"Leave --knowledge out, or use {' or '.join(ELASTIC)} on sia or pollux"
        raise SpecError([Problem(field="--knowledge", problem=problem, fix=fix)])
    futures, learner = workload.futures(fleet), Learner()
    _teach(learner, workload, _earlier(options))
    driver = Driver(fleet, futures, Knowledge(futures, learner).policy(options.policy))
    learner.state = driver.state
    driver.watchers.append(learner)
    return driver, users_spec()


def _elastic(workload: Workload, options: ReplayOptions) -> bool:
    """Whether the policy may choose sizes; `default` keeps them where they are fixed."""
    if options.policy == "default":
        return workload.elastic is not None
    return options.policy in ELASTIC


def elastic_replay(
    workload: Workload, fleet: tuple[Node, ...], options: ReplayOptions
) -> ElasticRun:
    """A world with elastic jobs, after its history has been replayed."""
    knowledge = options.knowledge or KNOWLEDGE[0]
    if knowledge not in KNOWLEDGE:
        problem, fix = f"there is no level {knowledge!r}", f"Use one of {', '.join(KNOWLEDGE)}"
        raise SpecError([Problem(field="--knowledge", problem=problem, fix=fix)])
    if knowledge != "history" or workload.elastic is None:
        return elastic_run(workload, fleet, options.policy, knowledge)
    learned = goodputs(sizes_of(fleet), shared=True)
    for path in options.history or usual_history(options.dataset, options.workload):
        past = read(options.dataset, path)
        run = elastic_run(past, fleet, "default", "shared", learned)
        Arrivals(run.driver, past.jobs, run.spec)
        play(run.driver)
        learned.forget_jobs()
    return elastic_run(workload, fleet, options.policy, knowledge, learned)


def usual_history(dataset: str, workload: Path) -> tuple[Path, ...]:
    """The shared workloads of the set but for the one that is replayed."""
    root = data_folder(dataset)
    named = {
        "sia": ("saturn/workload-1", "saturn/workload-2", "saturn/workload-3", "philly/workload-1"),
        "pollux": ("load/workload-1", "load/workload-2", "load/workload-3"),
    }[dataset]
    folder = root / "workloads" if dataset == "sia" else root
    text = workload.read_bytes()
    paths = (folder / f"{name}.csv" for name in named)
    return tuple(path for path in paths if path.read_bytes() != text)


def _earlier(options: ReplayOptions) -> list[TraceJob]:
    """Jobs of the workloads that are history as a whole."""
    found: list[TraceJob] = []
    for path in options.history:
        workload = read(options.dataset, path)
        found += (*workload.history, *workload.jobs)
    return found


def _teach(learner: Learner, workload: Workload, earlier: Sequence[TraceJob]) -> None:
    """What had ended before the window began."""
    ended = [job for job in workload.history if job.submit_s + job.service_s <= 0]
    for job in (*earlier, *ended):
        if job.service_s:
            learner.learn(job.group, job.gpus, job.service_s)


def _rho(
    workload: Workload, jobs: Sequence[TraceJob], rows: Sequence[Ended], active_jobs: float
) -> np.ndarray | None:
    if workload.isolated is None:
        return None
    submit_s = np.array([row.submit_s for row in rows])
    end_s = np.array([row.end_s for row in rows])
    return workload.isolated.rho([job.application for job in jobs], submit_s, end_s, active_jobs)


def _run(driver: Driver, jobs: tuple[TraceJob, ...], spec_of: SpecOf) -> float:
    """Let the world go on to its end; device-seconds held until the last submit."""
    Arrivals(driver, jobs, spec_of)
    occupancy = Occupancy(driver.state)
    last_submit_ns = round(jobs[-1].submit_s * NS_PER_S)
    in_window_s: float | None = None
    while (now_ns := driver.next_ns()) is not None:
        if in_window_s is None and now_ns > last_submit_ns:
            occupancy.pass_to(last_submit_ns)
            in_window_s = occupancy.device_s()
        occupancy.pass_to(now_ns)
        driver.turn(now_ns)
        occupancy.look()
    return occupancy.device_s() if in_window_s is None else in_window_s


def _rules(workload: Workload, nodes: int, options: ReplayOptions) -> dict[str, Any]:
    return {
        **workload.rules,
        "nodes": nodes,
        "placement": "consolidated",
        **(_elastic_rules(options) if _elastic(workload, options) else {"decisions": "on events"}),
        "invariants": "after every event" if options.check else "at the end",
        "history_jobs": len(workload.history),
        "history_files": len(options.history),
    }


def _elastic_rules(options: ReplayOptions) -> dict[str, Any]:
    return {
        "jobs": "elastic: any size and type, the batch re-chosen with them and with each epoch",
        "knowledge": options.knowledge or KNOWLEDGE[0],
        "decisions": "in rounds of 60 s" if options.policy == "sia" else "on events and every 60 s",
        "restarts": "by application, where type or shape change, or after a wait",
        "first_batch": "10 steps at the smallest batch on a type that nobody has measured",
    }
