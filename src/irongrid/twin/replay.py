"""A recorded trace, replayed under a policy: `irongrid twin replay`."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from irongrid.control.invariants import violations
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobSpec, Resources, RunTask
from irongrid.forecast.durations import Durations
from irongrid.twin.driver import SUBMIT, Driver
from irongrid.twin.occupancy import Occupancy
from irongrid.twin.policies import Knowledge, Learner
from irongrid.twin.report import Ended, decision_ms, ended, fairness, summary, utilisation
from irongrid.twin.truth.datasets import read
from irongrid.twin.truth.traces import Workload
from irongrid.twin.truth.world import TraceJob
from irongrid.twin.watch import Watch
from irongrid.units import NS_PER_S

_TASK = RunTask(argv=("train",))
Observer = Callable[[Driver], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What to replay, and how.

    Attributes:
        nodes: 0 takes the data set's own number.
        head: replay only so many jobs; 0 is all.
        check: look at every invariant after every event.
        history: other workloads of the set, which had ended before this one began.
    """

    dataset: str
    workload: Path
    policy: str
    nodes: int = 0
    head: int = 0
    check: bool = False
    history: tuple[Path, ...] = ()


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
    futures, learner = workload.futures(fleet), Learner(_learned(workload, _earlier(options)))
    knowledge = Knowledge(futures, learner)
    policy = knowledge.policy(options.policy)
    began, cpu_began = perf_counter(), process_time()
    driver = Driver(fleet, futures, policy)
    if knowledge.wants_forecasts(options.policy):
        learner.state = driver.state
        driver.watchers.append(learner)
    watch = Watch(driver.state)
    if options.check:
        driver.watchers.append(watch)
    for observe in observers:
        observe(driver)
    with _few_collections():
        held_s = _run(driver, jobs)
    wall_s, cpu_s = perf_counter() - began, process_time() - cpu_began
    state = driver.state
    broken = watch.broken + violations(state)
    assert not broken, broken[:3]
    assert len(state.jobs) == sum(state.ended_by_state.values()), "every job has ended"
    rows = [ended(job, driver.futures.service_s(job.id)) for job in state.jobs.values()]
    window_s = jobs[-1].submit_s - jobs[0].submit_s
    return {
        "dataset": options.dataset,
        "policy": options.policy,
        **summary(rows),
        **fairness(_rho(workload, jobs, rows)),
        "utilisation": utilisation(held_s, state.rooms.total, window_s),
        "decision_ms": decision_ms(driver.decision_s),
        "events": state.seq,
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
        "jobs_per_s": round(len(rows) / wall_s, 1),
        "rules": _rules(workload, len(fleet), options),
    }


def _earlier(options: ReplayOptions) -> list[TraceJob]:
    """Jobs of the workloads that are history as a whole."""
    found: list[TraceJob] = []
    for path in options.history:
        workload = read(options.dataset, path)
        found += (*workload.history, *workload.jobs)
    return found


def _learned(workload: Workload, earlier: Sequence[TraceJob]) -> Durations:
    """What had ended before the window began."""
    durations = Durations()
    ended = [job for job in workload.history if job.submit_s + job.service_s <= 0]
    for job in (*earlier, *ended):
        if job.service_s:
            durations.learn(job.group, job.gpus, job.service_s)
    return durations


class Arrivals:
    """The jobs of a trace, handed in one after another at their seconds."""

    def __init__(self, driver: Driver, jobs: tuple[TraceJob, ...]) -> None:
        self._driver = driver
        self._jobs = jobs
        self._at = 0
        self._specs: dict[tuple[str, int, str, float, int], JobSpec] = {}
        self.ids: dict[JobId, TraceJob] = {}
        self._plan()

    def _plan(self) -> None:
        if self._at < len(self._jobs):
            at_ns = round(self._jobs[self._at].submit_s * NS_PER_S)
            self._driver.agenda.put(at_ns, SUBMIT, self._arrive)

    def _arrive(self) -> None:
        job = self._jobs[self._at]
        self._at += 1
        self._driver.submit(self._spec(job), job)
        self._plan()

    def _spec(self, job: TraceJob) -> JobSpec:
        """What a person would have asked for: nothing that only the future knows."""
        key = (job.group, job.gpus, job.device_type, job.cpus, job.memory_bytes)
        spec = self._specs.get(key)
        if spec is None:
            resources = Resources(
                sizes=(job.gpus,),
                accelerator=job.device_type or "any",
                cpus=job.cpus,
                memory_bytes=job.memory_bytes,
            )
            spec = JobSpec(name=job.group, task=_TASK, workdir="/", resources=resources)
            self._specs[key] = spec
        return spec


def _rho(workload: Workload, jobs: Sequence[TraceJob], rows: Sequence[Ended]) -> np.ndarray | None:
    if workload.isolated is None:
        return None
    submit_s = np.array([row.submit_s for row in rows])
    end_s = np.array([row.end_s for row in rows])
    return workload.isolated.rho([job.application for job in jobs], submit_s, end_s)


def play(driver: Driver) -> None:
    """Let the world go on to its end."""
    with _few_collections():
        while (now_ns := driver.next_ns()) is not None:
            driver.turn(now_ns)


def _run(driver: Driver, jobs: tuple[TraceJob, ...]) -> float:
    """Let the world go on to its end; device-seconds held until the last submit."""
    Arrivals(driver, jobs)
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


@contextmanager
def _few_collections() -> Iterator[None]:
    """A replay keeps nearly all that it makes: looking through it for garbage is in vain."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _rules(workload: Workload, nodes: int, options: ReplayOptions) -> dict[str, Any]:
    return {
        **workload.rules,
        "nodes": nodes,
        "placement": "consolidated",
        "decisions": "on events",
        "invariants": "after every event" if options.check else "at the end",
        "history_jobs": len(workload.history),
        "history_files": len(options.history),
    }
