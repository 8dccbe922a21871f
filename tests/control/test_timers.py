"""A timer that is due leads to a fact, so that no round comes again and again for nothing."""

import pytest
from tests.control.world import World, node, spec

from irongrid.control.decide import next_wakeup_ns
from irongrid.control.state import Job, Phase
from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.job import JobState
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.fifo import Fifo
from irongrid.scheduler.las import Las

ECHO = Failure(code=FailureCode.LOST_PEER, message="rank 0: its peer is gone")


def phase(job: Job) -> Phase | None:
    return job.attempt.phase if job.attempt is not None else None


def rest(world: World) -> None:
    """Nothing is due any more at this moment, once everybody has had a say."""
    world.settle()
    wakeup_ns = next_wakeup_ns(world.state, world.now_ns)
    assert wakeup_ns is None or wakeup_ns > world.now_ns


@pytest.mark.parametrize("policy", [None, Fifo(), Fifo(backfill=True), Las()])
def test_a_back_off_that_ends_while_nothing_is_free_is_told_once(policy: Policy | None) -> None:
    world = World(node("n0", 1))
    world.state.use(policy)
    waiting = [world.submit(spec(1)) for _ in range(3)]
    world.settle()
    first = waiting[0]
    for _ in range(2):  # The second failure in a row makes it wait.
        world.kill_worker(first, world.job(first).epoch, world.of(first)[0].node)
        world.settle()
    rest(world)
    for _ in range(5):
        world.advance(1)
        rest(world)

    assert world.job(first).state in (JobState.QUEUED, JobState.RUNNING)


def test_a_long_back_off_outlasts_the_wait_for_a_cause() -> None:
    world = World(node("n0", 1), node("n1", 1))
    job = world.submit(spec(2, retries=20))
    world.settle()
    found = world.job(job)
    found.retries = 6  # A back-off of 32 s, where another node's word is waited for for 10 s.
    silent = world.of(job)[1]
    world.fail(job, ECHO)
    del world.workers[job, 1, silent.node]
    world.advance(11)
    rest(world)

    assert phase(world.job(job)) is Phase.FAILED
    world.advance(22)
    world.decide()
    assert phase(world.job(job)) is Phase.RECOVERING
