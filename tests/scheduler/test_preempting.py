"""Srtf and las on one or two nodes of eight devices, to the second."""

from tests.twin.worlds import Small, trace

from irongrid.domain.decision import Stop
from irongrid.domain.event import Decided
from irongrid.domain.ids import JobId
from irongrid.scheduler.las import Las
from irongrid.scheduler.srtf import Srtf
from irongrid.twin.truth.futures import RestartCosts, RigidFutures


def srtf(futures: RigidFutures) -> Srtf:
    return Srtf(futures.left_s, futures.restart_s)


def stops(world: Small) -> list[JobId]:
    return [
        action.job
        for event in world.events(Decided)
        for action in event.decision.actions
        if isinstance(action, Stop)
    ]


def test_a_shorter_job_takes_the_place_of_a_longer_one_which_pays_for_its_restart() -> None:
    world = Small.with_futures(1, srtf, trace((0, 8, 1000), (100, 8, 50)))

    # 100 s done; 50 s for the other; then 30 s of restart and the 900 s that are left.
    assert world.ends_s == [1080, 150]
    assert stops(world) == [world.jobs[0].id]
    assert world.jobs[0].account.lost_ns == 0


def test_nobody_is_stopped_for_a_gain_below_the_price_of_the_restart() -> None:
    # At 100 the first has 60 s left; 50 s of the other and a restart of 30 s gain nothing.
    world = Small.with_futures(1, srtf, trace((0, 8, 160), (100, 8, 50)))

    assert world.ends_s == [160, 210]
    assert stops(world) == []


def test_nothing_is_stopped_for_a_gang_that_would_not_fit_all_the_same() -> None:
    # The gang of 16 needs both nodes, and the short job on one of them does not make way.
    world = Small.with_futures(2, srtf, trace((0, 8, 1000), (0, 8, 60), (10, 16, 500)))

    # So the first is not stopped at 10 either, but when the short job has ended by itself.
    at_s = [
        recorded.at_ns / 1e9
        for recorded in world.log
        if isinstance(recorded.event, Decided)
        and any(isinstance(action, Stop) for action in recorded.event.decision.actions)
    ]
    assert at_s == [60]
    assert stops(world) == [world.jobs[0].id]


def test_only_what_the_gang_needs_is_stopped() -> None:
    rows = trace((0, 4, 1000), (0, 4, 900), (0, 8, 800), (10, 4, 50))
    world = Small.with_futures(2, srtf, rows)

    # The one with most left makes way; the others go on to their ends.
    assert stops(world) == [world.jobs[0].id]
    assert world.ends_s[1:] == [900, 800, 60]


def test_las_lets_new_jobs_pass_one_that_has_had_its_share() -> None:
    # 8 devices reach 18,000 GPU-seconds after 2,250 s.
    world = Small(1, Las(), trace((0, 8, 5000), (1000, 8, 100)))

    assert world.ends_s == [2250 + 100 + 30 + 2750, 2350]


def test_las_leaves_the_older_of_two_equals_alone() -> None:
    world = Small(1, Las(), trace((0, 8, 1000), (100, 8, 100)))

    assert world.ends_s == [1000, 1100]
    assert stops(world) == []


def test_restarts_cost_what_the_rules_say() -> None:
    assert [RestartCosts().of(ranks) for ranks in (1, 2, 8, 9)] == [7, 30, 30, 60]
