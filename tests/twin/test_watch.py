"""The watch finds what it is there for: each bug is put in by hand."""

from tests.twin.worlds import trace

from irongrid.domain.event import LaunchAccepted, Recorded
from irongrid.domain.job import JobState
from irongrid.scheduler.fifo import Fifo
from irongrid.twin.arrivals import Arrivals
from irongrid.twin.driver import Driver
from irongrid.twin.fleets import pool
from irongrid.twin.truth.futures import RestartCosts, RigidFutures
from irongrid.twin.watch import Watch


def running() -> tuple[Driver, Watch]:
    """Two gangs of four at work on two nodes, one job of sixteen in the queue."""
    driver = Driver(pool(2), RigidFutures(RestartCosts()), Fifo())
    watch = Watch(driver.state)
    driver.watchers.append(watch)
    Arrivals(driver, trace((0, 4, 100), (0, 8, 100), (0, 16, 100)))
    driver.turn(0)
    assert watch.broken == []
    return driver, watch


def look(driver: Driver, watch: Watch, job: int) -> list[str]:
    """What the watch says of a job after some fact that changes nothing."""
    found = list(driver.state.jobs.values())[job]
    watch(Recorded(driver.state.seq, driver.now_ns, LaunchAccepted(job=found.id, epoch=1)))
    return [sentence[:2] for sentence in watch.broken]


def test_a_device_that_is_free_and_held_is_found() -> None:
    driver, watch = running()
    first, second, _ = driver.state.jobs.values()
    assert first.attempt is not None
    assert second.attempt is not None
    first.attempt.placement = second.attempt.placement

    assert "I3" in look(driver, watch, 0)


def test_half_a_gang_is_found() -> None:
    driver, watch = running()
    attempt = next(iter(driver.state.jobs.values())).attempt
    assert attempt is not None
    next(iter(attempt.members.values())).ready = 0

    assert "I4" in look(driver, watch, 0)


def test_a_job_that_fell_out_of_the_queue_is_found() -> None:
    driver, watch = running()
    driver.state.queue.clear()

    assert {"I6", "I1"} <= set(look(driver, watch, 2))


def test_a_move_that_the_machine_does_not_know_is_found() -> None:
    driver, watch = running()
    waiting = list(driver.state.jobs.values())[2]
    waiting.state = JobState.SUCCEEDED

    assert "I6" in look(driver, watch, 2)


def test_time_that_vanishes_is_found() -> None:
    driver, watch = running()
    list(driver.state.jobs.values())[2].account.queued_ns += 1

    assert "I9" in look(driver, watch, 2)
