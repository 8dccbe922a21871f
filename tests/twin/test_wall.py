"""Whoever decides cannot see what has not happened: changed futures change nothing before them."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.twin.worlds import Small, trace

from irongrid.domain.event import Recorded
from irongrid.forecast.residual import LEVELS_S, Residual
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.fifo import Fifo
from irongrid.scheduler.gittins import Gittins
from irongrid.scheduler.las import Las
from irongrid.scheduler.qssf import Qssf
from irongrid.scheduler.srtf import Srtf
from irongrid.twin.policies import Learner
from irongrid.twin.truth.futures import RestartCosts, RigidFutures
from irongrid.twin.truth.world import TraceJob

NS = 10**9
FROM_S = 3000


def random_trace(seed: int) -> tuple[TraceJob, ...]:
    draw = random.Random(seed)
    rows = [
        (draw.randrange(6000), draw.choice([1, 1, 1, 2, 4, 8, 12]), draw.randrange(60, 4000))
        for _ in range(80)
    ]
    return trace(*sorted(rows))


def qssf() -> Policy:
    learner = Learner()
    for gpus, duration_s in ((1, 900), (2, 50), (4, 3000), (8, 200), (12, 100)):
        learner.learn(f"group-{gpus}", gpus, duration_s)
    return Qssf(learner.predicted_s, backfill=True)


def default() -> Policy:
    residual = Residual()
    for gpus, duration_s in ((1, 900), (2, 50), (4, 3000), (8, 200), (12, 100)):
        residual.learn(f"group-{gpus}", gpus, duration_s)
    return Gittins(residual.index_s, LEVELS_S)


POLICIES: dict[str, Callable[[], Policy]] = {
    "fifo": Fifo,
    "fifo-backfill": lambda: Fifo(backfill=True),
    "qssf": qssf,
    "las": Las,
    "default": default,
}


def before(log: list[Recorded], at_s: float) -> list[Recorded]:
    return [recorded for recorded in log if recorded.at_ns < at_s * NS]


@pytest.mark.parametrize("name", POLICIES)
def test_the_future_of_running_jobs_changes_nothing_before_it_shows(name: str) -> None:
    jobs = random_trace(1)
    # Whatever still runs after FROM_S runs on for ten times as long.
    first = Small(3, POLICIES[name](), jobs)
    ends_s = dict(zip((job.key for job in jobs), first.ends_s, strict=True))
    longer = tuple(
        replace(job, service_s=10 * job.service_s) if ends_s[job.key] > FROM_S else job
        for job in jobs
    )

    second = Small(3, POLICIES[name](), longer)

    assert before(first.log, FROM_S) == before(second.log, FROM_S)
    assert first.log != second.log


@pytest.mark.parametrize("name", POLICIES)
def test_jobs_that_are_not_there_yet_change_nothing(name: str) -> None:
    jobs = random_trace(2)
    others = tuple(
        replace(job, gpus=1, group="group-1") if job.submit_s >= FROM_S else job for job in jobs
    )
    first = Small(3, POLICIES[name](), jobs)
    second = Small(3, POLICIES[name](), others)

    assert before(first.log, FROM_S) == before(second.log, FROM_S)
    assert first.log != second.log


def test_an_oracle_is_caught_by_the_same_look() -> None:
    """The test can fail: a policy that knows the truth decides otherwise at once."""
    jobs = trace((0, 8, 100), (1, 8, 50), (2, 8, 60))
    other = (*jobs[:1], replace(jobs[1], service_s=70.0), *jobs[2:])

    def run(rows: tuple[TraceJob, ...]) -> Small:
        futures = RigidFutures(RestartCosts())
        return Small(1, Srtf(futures.left_s, futures.restart_s), rows, futures)

    # Nothing of the second job has been seen at 105 but its submission.
    assert before(run(jobs).log, 105) != before(run(other).log, 105)
