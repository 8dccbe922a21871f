"""A world that breaks: what is lost, what it costs, and that all of it adds up."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from tests.twin.worlds import trace

from irongrid.control.invariants import violations
from irongrid.domain.event import NodeClosed, Recorded
from irongrid.domain.ids import NodeId
from irongrid.domain.job import JobSpec, JobState, Resources, Retries, RunTask
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.fifo import Fifo
from irongrid.scheduler.las import Las
from irongrid.twin.arrivals import play
from irongrid.twin.checkpoints import (
    Checkpoints,
    availability_s,
    exact_ettr,
    expected_ettr,
    young_s,
)
from irongrid.twin.driver import SUBMIT
from irongrid.twin.faults import (
    DAY_S,
    NO_FAULTS,
    Fault,
    FaultKind,
    FaultModel,
    JobFailures,
    node_faults,
    repair_s,
)
from irongrid.twin.fleets import pool
from irongrid.twin.lost_time import LostTime
from irongrid.twin.outages import FaultyDriver
from irongrid.twin.truth.futures import RestartCosts, RigidFutures
from irongrid.twin.truth.world import TraceJob
from irongrid.twin.watch import Watch

NS = 10**9
N0, N1 = NodeId("n0"), NodeId("n1")
NEVER = Checkpoints(interval_s=None)


def fault(kind: FaultKind, at_s: float, until_s: float, node: NodeId = N0, **more: float) -> Fault:
    return Fault(
        at_ns=round(at_s * NS),
        until_ns=round(until_s * NS),
        kind=kind,
        node=node,
        device=int(more.get("device", 0)),
        notice_ns=round(more.get("notice_s", 0) * NS),
        slowdown=more.get("slowdown", 1.0),
    )


class Broken:
    """A pool with given faults, replayed to the end with every invariant on."""

    def __init__(
        self,
        nodes: int,
        jobs: tuple[TraceJob, ...],
        faults: Iterator[Fault],
        *,
        checkpoints: Checkpoints = NEVER,
        policy: Policy | None = None,
        model: FaultModel = NO_FAULTS,
        seed: int = 1,
    ) -> None:
        self.log: list[Recorded] = []
        self.driver = FaultyDriver(
            pool(nodes),
            RigidFutures(RestartCosts()),
            policy or Fifo(),
            faults,
            JobFailures(model, seed),
            lambda nodes: checkpoints,
        )
        watch = Watch(self.driver.state)
        self.lost_time = LostTime()
        self.driver.watchers += [self.log.append, watch, self.lost_time]
        for job in jobs:
            self._arrives(job)
        play(self.driver)
        self.jobs = list(self.driver.state.jobs.values())
        assert watch.broken == []
        assert violations(self.driver.state) == []
        assert len(self.jobs) == len(jobs)

    def _arrives(self, row: TraceJob) -> None:
        spec = JobSpec(
            name=row.group,
            task=RunTask(argv=("true",)),
            workdir="/",
            resources=Resources(sizes=(row.gpus,)),
            retries=Retries(max=10**6),
        )

        def arrive() -> None:
            self.driver.submit(spec, row)

        self.driver.agenda.put(round(row.submit_s * NS), SUBMIT, arrive)

    def account_s(self, job: int) -> dict[str, float]:
        account = self.jobs[job].account
        names = ("queued", "starting", "running", "stall", "lost", "recovering", "stopping")
        return {name: getattr(account, f"{name}_ns") / NS for name in names}


def test_a_broken_node_costs_the_work_since_the_last_save_and_its_job_goes_on_elsewhere() -> None:
    faults = iter([fault(FaultKind.NODE, 250, 9_999)])
    world = Broken(2, trace((0, 8, 400)), faults, checkpoints=Checkpoints(100, stall_s=5))

    # Saves at 100 to 105 and 205 to 210; 40 s are lost at 250; the restart takes 30 s.
    account = world.account_s(0)
    assert account["lost"] == 40
    assert account["stall"] == 15  # a third one at 380, before the last 100 s
    assert account["starting"] == 30
    assert account["running"] == 400
    assert world.jobs[0].ended_at_ns == (250 + 30 + 100 + 5 + 100) * NS
    assert world.jobs[0].past[1].placement.shares[0].node == N1


def test_with_no_other_node_the_job_waits_for_the_repair() -> None:
    world = Broken(1, trace((0, 8, 100)), iter([fault(FaultKind.NODE, 50, 1_000)]))

    account = world.account_s(0)
    assert (account["queued"], account["lost"], account["running"]) == (950, 50, 100)
    lost = world.lost_time.of(world.jobs)
    # 100 s of work, 50 s of it twice, 950 s of repair and 30 s to start again.
    assert (lost.useful_s, lost.redone_s, lost.again_wait_s, lost.restart_s) == (100, 50, 950, 30)
    assert (lost.first_wait_s, lost.wall_s) == (0, 1_130)
    assert lost.ettr == 100 / 1_130


def test_a_broken_device_restarts_its_own_gang_in_place_and_lets_others_finish() -> None:
    faults = iter([fault(FaultKind.DEVICE, 50, 500, device=6)])
    jobs = trace((0, 4, 100), (0, 4, 100), (60, 8, 10))
    world = Broken(1, jobs, faults, checkpoints=Checkpoints(None, restart_s=20))

    assert [world.account_s(job)["lost"] for job in range(2)] == [0, 50]
    assert world.account_s(1)["recovering"] == 20
    assert [job.epoch for job in world.jobs] == [1, 1, 1]
    # The node drains: nobody starts there before it is repaired.
    assert world.jobs[2].past[0].started_at_ns == 500 * NS


def test_a_notice_saves_the_work_of_a_spot_node() -> None:
    faults = iter([fault(FaultKind.SPOT, 50, 500, notice_s=30)])
    world = Broken(1, trace((0, 8, 100)), faults)

    account = world.account_s(0)
    assert (account["lost"], account["queued"], account["running"]) == (0, 450, 100)
    assert any(isinstance(seen.event, NodeClosed) and seen.event.leaves for seen in world.log)


def test_a_slow_node_slows_its_gang_for_as_long_as_it_is_slow() -> None:
    faults = iter([fault(FaultKind.STRAGGLER, 20, 80, slowdown=1.5)])
    world = Broken(2, trace((0, 16, 100), (0, 8, 10)), faults)

    # 20 s, then 60 s for 40 s of work, then 40 s.
    assert world.jobs[0].ended_at_ns == 120 * NS


def test_a_job_fails_as_often_wherever_it_runs() -> None:
    model = FaultModel(per_node_day=0.0, job_per_h=6.0)
    rows = trace((0, 8, 7_200))
    ended = [
        Broken(nodes, rows, iter(()), model=model, checkpoints=Checkpoints(60, 1, 30)).jobs[0]
        for nodes in (1, 5)
    ]

    assert ended[0].restarts == ended[1].restarts > 5


def test_a_users_own_error_ends_the_job() -> None:
    model = FaultModel(per_node_day=0.0, job_per_h=60.0, job_user_share=1.0)
    world = Broken(1, trace((0, 8, 7_200)), iter(()), model=model)

    assert world.jobs[0].state is JobState.FAILED


HARD = FaultModel(
    per_node_day=2.0,
    repair_median_s=600.0,
    repair_mean_s=1_800.0,
    job_per_h=0.5,
    spot_per_node_h=0.05,
    slow_per_node_day=1.0,
)


def many(seed: int, jobs: int = 60) -> tuple[TraceJob, ...]:
    draw = np.random.default_rng(seed)
    submit_s = np.cumsum(draw.exponential(600, jobs))
    return trace(
        *(
            (float(at), int(draw.choice([1, 2, 4, 8, 16])), float(draw.exponential(5_000)))
            for at in submit_s
        )
    )


@pytest.mark.parametrize("policy", [Fifo(backfill=True), Las(first_queue_gpu_s=2_000)])
def test_lost_time_adds_up_in_a_world_where_everything_breaks(policy: Policy) -> None:
    model = replace(HARD, slow_per_node_day=0.0)
    fleet = pool(4)
    faults = node_faults(model, fleet, [fleet[3].id], seed=3)
    world = Broken(
        4, many(3), faults, checkpoints=Checkpoints(300, 5, 30), policy=policy, model=model
    )

    assert {FaultKind.NODE, FaultKind.DEVICE, FaultKind.SPOT} <= world.driver.counts.keys()
    lost = 0
    for job, row in zip(world.jobs, many(3), strict=True):
        assert job.state is JobState.SUCCEEDED
        # What counts is what the job needed, whatever came between, to the nanosecond.
        assert job.account.running_ns == round(row.service_s * NS)
        assert job.account.lost_ns == world.driver.lost_ns[job.id]
        assert job.account.counted_ns() == job.ended_at_ns - job.submitted_at_ns
        lost += job.account.lost_ns
    assert lost > 0
    account = world.lost_time.of(world.jobs)
    wall_ns = sum(job.ended_at_ns - job.submitted_at_ns for job in world.jobs)
    assert account.wall_s == pytest.approx(wall_ns / NS, abs=1e-6)
    assert account.redone_s == pytest.approx(lost / NS)
    assert account.again_wait_s > 0


def test_the_same_seed_gives_the_same_faults_and_another_seed_others() -> None:
    def draw(seed: int) -> list[Fault]:
        return list(islice(node_faults(HARD, pool(8), [N0, N1], seed), 200))

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    at_ns = [found.at_ns for found in draw(1)]
    assert at_ns == sorted(at_ns)


def test_the_same_faults_meet_every_policy() -> None:
    fleet = pool(4)
    seen = []
    for policy in (Fifo(), Las(first_queue_gpu_s=2_000)):
        faults = node_faults(replace(HARD, per_node_day=6.0), fleet, [], 5)
        world = Broken(4, many(5), faults, checkpoints=Checkpoints(300), policy=policy)
        closed = [r for r in world.log if isinstance(r.event, NodeClosed)]
        seen.append([(found.at_ns, found.event) for found in closed])
    both = min(len(one) for one in seen)

    assert both > 5
    assert seen[0][:both] == seen[1][:both]


def test_a_node_that_is_out_does_not_break_again() -> None:
    out_until: dict[NodeId, int] = {}
    for found in islice(node_faults(HARD, pool(2), [], 1), 2_000):
        if found.kind is not FaultKind.STRAGGLER:
            assert found.at_ns >= out_until.get(found.node, 0)
            out_until[found.node] = found.until_ns


def test_repairs_have_the_mean_and_the_median_of_the_trace() -> None:
    model, draw = FaultModel(), np.random.default_rng(1)
    days = np.array([repair_s(model, draw) for _ in range(100_000)]) / DAY_S

    assert np.median(days) == pytest.approx(0.85, rel=0.03)
    assert days.mean() == pytest.approx(5.54, rel=0.1)


def test_closed_forms_by_hand() -> None:
    # 60 s and 2.34 h: sqrt(2 * 60 * 8424) = 1005.4 s; overhead sqrt(2 * 60 / 8424) = 12%.
    assert young_s(stall_s=60, mttf_s=8_424) == pytest.approx(1_005.4, abs=0.1)
    assert availability_s(save_s=1, recovery_s=0, mttf_s=100) == pytest.approx(
        1 + math.sqrt(201), abs=1e-9
    )
    # 1,024 GPUs of the reliability notes: MTTF 28.9 h, 10 minutes, 60 s: 0.961.
    hour = 3_600.0
    ettr = expected_ettr(
        interval_s=young_s(stall_s=60, mttf_s=28.9 * hour),
        stall_s=60,
        recovery_s=600,
        mttf_s=28.9 * hour,
    )
    assert ettr == pytest.approx(0.961, abs=0.001)


def test_the_first_order_is_of_no_use_where_failures_meet_recoveries() -> None:
    """The known miss, pinned: 131,072 GPUs, 10 minutes of recovery, 60 s of stall."""
    mttf_s = 24 * 3_600 / (131_072 / 8 * 6.5e-3)
    case = {
        "interval_s": young_s(stall_s=60, mttf_s=mttf_s),
        "stall_s": 60.0,
        "recovery_s": 600.0,
        "mttf_s": mttf_s,
    }

    assert expected_ettr(**case) < 0.1
    assert exact_ettr(**case) == pytest.approx(0.314, abs=0.02)
