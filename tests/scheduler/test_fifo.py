"""First in, first out, on one node of eight devices in the twin."""

from tests.twin.worlds import Small, trace

from irongrid.domain.decision import Wait, WaitCode
from irongrid.domain.event import Decided
from irongrid.scheduler.fifo import Fifo

# Six devices for 100 s; a gang of four that must wait; two devices that would fit at once.
JOBS = trace((0, 6, 100), (10, 4, 50), (20, 2, 30))


def test_strict_fifo_lets_nobody_pass_the_head() -> None:
    world = Small(1, Fifo(), JOBS)

    # The gang of four starts at 100, and only then the pair behind it.
    assert world.ends_s == [100, 150, 130]


def test_backfill_starts_what_fits_behind_the_head() -> None:
    world = Small(1, Fifo(backfill=True), JOBS)

    assert world.ends_s == [100, 150, 50]


def test_each_waiting_job_gets_its_reason_once() -> None:
    world = Small(1, Fifo(), JOBS)

    waits = [
        (action.job, action.code)
        for event in world.events(Decided)
        for action in event.decision.actions
        if isinstance(action, Wait)
    ]
    first, second = world.jobs[1].id, world.jobs[2].id
    assert waits == [(first, WaitCode.NO_FREE_DEVICES), (second, WaitCode.BEHIND)]


def test_equal_jobs_start_in_the_order_of_their_submission() -> None:
    world = Small(1, Fifo(), trace((0, 8, 10), (0, 8, 10), (0, 8, 10)))

    assert world.ends_s == [10, 20, 30]
