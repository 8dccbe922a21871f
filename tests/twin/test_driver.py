"""The virtual world under the real control."""

from tests.twin.worlds import Small, trace

from irongrid.control.apply import apply
from irongrid.control.snapshot import state_hash
from irongrid.control.state import State
from irongrid.domain.command import Launch
from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.event import (
    JobSubmitted,
    LaunchAccepted,
    RanksFinished,
    RanksReady,
    RanksStarted,
    ServerStarted,
    WorkerJoined,
)
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobSpec, JobState, RunTask
from irongrid.ports import WorkerPhase
from irongrid.scheduler.fifo import Fifo
from irongrid.twin.driver import order_of
from irongrid.twin.engine import SimulatedEngine
from irongrid.twin.fleets import pool

JOBS = trace((0, 16, 100), (5, 1, 10), (5, 8, 10), (7, 4, 20))


def test_every_node_of_a_gang_says_what_a_real_worker_says() -> None:
    world = Small(2, Fifo(), trace((3, 16, 100)))

    kinds = [type(recorded.event) for recorded in world.log if world.log]
    per_node = [WorkerJoined, WorkerJoined, RanksStarted, RanksReady, RanksStarted, RanksReady]
    assert [kind for kind in kinds if kind.__name__ != "Decided"] == [
        *(JobSubmitted, LaunchAccepted),
        *per_node,
        *(RanksFinished, RanksFinished),
    ]
    assert world.jobs[0].state is JobState.SUCCEEDED
    assert world.ends_s == [103]


def test_the_log_alone_gives_the_same_state() -> None:
    world = Small(2, Fifo(), JOBS)
    first = ServerStarted(
        server_epoch=1, irongrid_version="twin", nodes=world.driver.engine.nodes()
    )
    again = State()
    apply(again, type(world.log[0])(1, 0, first))
    for recorded in world.log:
        apply(again, recorded)

    assert state_hash(again) == state_hash(world.driver.state)


def test_the_same_trace_twice_gives_the_same_log() -> None:
    assert Small(2, Fifo(), JOBS).log == Small(2, Fifo(), JOBS).log


def test_time_accounts_hold_waits_and_work_to_the_second() -> None:
    world = Small(2, Fifo(), JOBS)

    accounts = [job.account for job in world.jobs]
    assert [account.running_ns / 1e9 for account in accounts] == [100, 10, 10, 20]
    # The gang of 16 holds both nodes until 100; then all three fit.
    assert [account.queued_ns / 1e9 for account in accounts] == [0, 95, 95, 93]


def test_an_engine_that_is_asked_twice_launches_once() -> None:
    engine = SimulatedEngine(pool(2))
    share = NodeShare(node=NodeId("n0"), devices=(0,))
    launch = Launch(job=JobId("j000001"), epoch=1, placement=Placement(shares=(share,)))
    spec = JobSpec(name="job", task=RunTask(argv=("true",)), workdir="/")
    orders = [order_of(launch, spec, share.node)]

    engine.launch(orders)
    engine.launch(orders)

    assert len(engine.launched) == 1
    wanted = [(launch.job, 1, share.node), (launch.job, 2, share.node)]
    assert [seen.phase for seen in engine.observe(wanted)] == [WorkerPhase.ALIVE, WorkerPhase.GONE]
    engine.stop(launch.job, 1, launch.placement)
    assert engine.observe(wanted)[0].phase is WorkerPhase.GONE
