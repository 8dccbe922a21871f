"""Elastic jobs on measured profiles: the trip through control, levels of knowledge, the wall."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from irongrid.domain.event import Measured, RanksReady, Recorded
from irongrid.errors import SpecError
from irongrid.twin.arrivals import Arrivals, play
from irongrid.twin.elastic import elastic_run
from irongrid.twin.replay import ReplayOptions, replay
from irongrid.twin.truth.applications import Application
from irongrid.twin.truth.datasets import read
from irongrid.twin.truth.elastic import ElasticFutures
from irongrid.twin.truth.profiles import Profile, Shape, StepTime
from irongrid.twin.truth.traces import Workload

Data = Callable[[str], Path]
HEAD = 14
FROM_NS = 2400 * 10**9


def options(data: Data, **changes: Any) -> ReplayOptions:
    path = data("sia") / "workloads" / "philly" / "workload-2.csv"
    usual: dict[str, Any] = {
        "dataset": "sia",
        "workload": path,
        "policy": "default",
        "head": HEAD,
        "check": True,
    }
    return ReplayOptions(**(usual | changes))


@pytest.mark.parametrize(
    ("policy", "knowledge"),
    [
        ("default", "none"),
        pytest.param("default", "shared", marks=pytest.mark.slow),
        pytest.param("default", "oracle", marks=pytest.mark.slow),
        ("sia", "none"),
    ],
)
def test_every_job_ends_and_every_invariant_holds(policy: str, knowledge: str, data: Data) -> None:
    found = replay(options(data, policy=policy, knowledge=knowledge))

    assert found["jobs"] == HEAD
    assert found["rules"]["knowledge"] == knowledge
    assert found["gpu_hours"] == pytest.approx(
        found["service_gpu_hours"] + found["restart_gpu_hours"], abs=0.01
    )


@pytest.mark.slow
def test_the_same_workload_twice_gives_the_same_figures(data: Data) -> None:
    one, other = replay(options(data)), replay(options(data))

    for figures in (one, other):
        for measured in ("decision_ms", "wall_s", "cpu_s", "jobs_per_s"):
            del figures[measured]
    assert one == other


@pytest.mark.slow
def test_more_knowledge_helps(data: Data) -> None:
    none, oracle = (
        replay(options(data, head=40, knowledge=knowledge)) for knowledge in ("none", "oracle")
    )

    assert oracle["avg_jct_s"] < none["avg_jct_s"]


def test_pollux_jobs_are_elastic_but_for_those_of_one_gpu(data: Data) -> None:
    path = data("pollux") / "load" / "workload-1.csv"

    found = replay(options(data, dataset="pollux", workload=path, head=20))

    assert found["jobs"] == 20


def test_what_cannot_be_asked_for_is_refused_with_the_way_out(data: Data) -> None:
    with pytest.raises(SpecError, match="levels are for elastic jobs"):
        replay(options(data, policy="fifo", knowledge="shared"))
    with pytest.raises(SpecError, match="no level 'all'"):
        replay(options(data, knowledge="all"))
    philly = data("traces") / "philly" / "jobs_to_2017-11-14.csv.gz"
    with pytest.raises(SpecError, match="fixed sizes"):
        replay(options(data, dataset="philly", workload=philly, policy="sia"))


def test_the_default_policy_keeps_sizes_where_they_are_fixed(data: Data) -> None:
    philly = data("traces") / "philly" / "jobs_to_2017-11-14.csv.gz"

    found = replay(options(data, dataset="philly", workload=philly, head=20))

    assert found["jobs"] == 20
    assert found["rules"]["decisions"] == "on events"


class Slower(Profile):
    """The same measurements, but three times as long on shapes that were not run on."""

    run_on: set[Shape]

    def step_time(self, shape: Shape, local_bsz: int) -> StepTime:
        times = super().step_time(shape, local_bsz)
        if shape in self.run_on:
            return times
        return StepTime(3 * times.step_s, 3 * times.sync_s)


def slower(profile: Profile, run_on: set[Shape]) -> Profile:
    found = Slower(profile.placed, profile.spread, profile.most_nodes)
    object.__setattr__(found, "run_on", run_on)
    return found


def played(workload: Workload, knowledge: str) -> tuple[list[Recorded], ElasticFutures]:
    run = elastic_run(workload, workload.fleet(workload.nodes), "default", knowledge)
    log: list[Recorded] = []
    run.driver.watchers.append(log.append)
    Arrivals(run.driver, workload.jobs, run.spec)
    play(run.driver)
    assert isinstance(run.driver.futures, ElasticFutures)
    return log, run.driver.futures


def before(log: list[Recorded]) -> list[Recorded]:
    return [recorded for recorded in log if recorded.at_ns < FROM_NS]


def shapes_run_on(workload: Workload, knowledge: str) -> Mapping[tuple[str, str], set[Shape]]:
    """Shapes on which a worker reported its readiness before FROM_NS, by application and type."""
    run = elastic_run(workload, workload.fleet(workload.nodes), "default", knowledge)
    found: dict[tuple[str, str], set[Shape]] = {}

    def watch(recorded: Recorded) -> None:
        event = recorded.event
        if recorded.at_ns >= FROM_NS or not isinstance(event, RanksReady | Measured):
            return
        job = run.driver.state.jobs[event.job]
        kind = run.driver.state.nodes[event.node].device_type
        shape = tuple(sorted((len(s.devices) for s in job.placement.shares), reverse=True))
        found.setdefault((job.spec.name, kind), set()).add(shape)

    run.driver.watchers.append(watch)
    Arrivals(run.driver, workload.jobs, run.spec)
    play(run.driver)
    return found


def otherwise(workload: Workload, changed: Callable[[Application], Application]) -> Workload:
    """The same workload in a world with other speeds."""
    assert workload.elastic is not None

    def futures(nodes: Any) -> ElasticFutures:
        assert workload.elastic is not None
        true = workload.elastic.futures(nodes)
        return ElasticFutures(
            nodes, {name: changed(each) for name, each in true.applications.items()}
        )

    return replace(workload, elastic=replace(workload.elastic, futures=futures))


@pytest.mark.parametrize("knowledge", ["none", pytest.param("shared", marks=pytest.mark.slow)])
def test_sizes_that_nobody_has_run_on_and_jobs_to_come_change_nothing_before(
    knowledge: str, data: Data
) -> None:
    path = data("sia") / "workloads" / "philly" / "workload-2.csv"
    workload = read("sia", path)
    workload = replace(workload, jobs=workload.jobs[:HEAD])
    known = shapes_run_on(workload, knowledge)

    def changed(application: Application) -> Application:
        profiles = {
            kind: slower(profile, known.get((application.name, kind), set()))
            for kind, profile in application.profiles.items()
        }
        return replace(application, profiles=profiles)

    later = tuple(
        replace(job, application="bert", group="bert") if job.submit_s * 1e9 >= FROM_NS else job
        for job in workload.jobs
    )
    assert later != workload.jobs
    first, _ = played(workload, knowledge)
    second, _ = played(replace(otherwise(workload, changed), jobs=later), knowledge)

    assert len(before(first)) > 100
    assert before(first) == before(second)
    assert first != second


@pytest.mark.slow
def test_an_oracle_is_caught_by_the_same_look(data: Data) -> None:
    """The test can fail: who knows the speeds decides otherwise at once."""
    path = data("sia") / "workloads" / "philly" / "workload-2.csv"
    workload = read("sia", path)
    workload = replace(workload, jobs=workload.jobs[:HEAD])

    def changed(application: Application) -> Application:
        profiles = {
            kind: slower(profile, set()) if kind == "dgx-ext" else profile
            for kind, profile in application.profiles.items()
        }
        return replace(application, profiles=profiles)

    first, _ = played(workload, "oracle")
    second, _ = played(otherwise(workload, changed), "oracle")

    submits = [recorded for recorded in before(first) if recorded.at_ns < 10**12]
    assert submits != [recorded for recorded in before(second) if recorded.at_ns < 10**12]
