"""The rules of the default policy for rigid jobs, on nodes of eight devices, to the second."""

import pytest
from tests.twin.worlds import Small

from irongrid.domain.decision import Stop
from irongrid.domain.event import Decided
from irongrid.domain.ids import JobId
from irongrid.domain.job import Resources
from irongrid.scheduler.gittins import Gittins
from irongrid.twin.truth.world import TraceJob

LEVELS_S = (0.0, 100.0, 1000.0)


def policy(**begun_s: float) -> Gittins:
    """Groups with the given index when they begin; a level later it is ten times as much."""

    def index_s(group: str, ranks: int, level: int) -> float:
        return begun_s[group] * 10.0**level

    return Gittins(index_s, LEVELS_S)


def jobs(*rows: tuple[float, str, int, float]) -> tuple[TraceJob, ...]:
    """Jobs from (submit_s, group, gpus, service_s)."""
    return tuple(
        TraceJob(f"key-{at}", submit_s, group, gpus, service_s)
        for at, (submit_s, group, gpus, service_s) in enumerate(rows)
    )


def stops(world: Small) -> list[JobId]:
    return [
        action.job
        for event in world.events(Decided)
        for action in event.decision.actions
        if isinstance(action, Stop)
    ]


def test_what_is_likely_to_end_soon_takes_the_place_of_what_is_not() -> None:
    rows = jobs(*[(0, "long", 1, 1000)] * 8, (50, "short", 1, 20))
    world = Small(1, policy(long=10_000, short=100), rows)

    # 50 s done; 20 s for the other; then 7 s of restart and the 950 s that are left.
    assert world.ends_s == [1000] * 7 + [1027, 70]
    assert stops(world) == [world.jobs[7].id]


def test_nobody_is_stopped_for_an_index_that_is_only_a_little_smaller() -> None:
    # The last of eight ends at 99, before its index grows.
    rows = jobs(*[(0, "held", 1, 99)] * 8, (50, "near", 1, 20))
    world = Small(1, policy(held=10_000, near=8_000), rows)

    assert world.ends_s == [99] * 8 + [119]
    assert stops(world) == []


def test_what_has_run_for_long_makes_way_at_the_end_of_its_level() -> None:
    rows = jobs(*[(0, "held", 1, 1000)] * 8, (50, "near", 1, 20))
    world = Small(1, policy(held=10_000, near=8_000), rows)

    # 0.7 * 10,000 is below 8,000; from 100 s on it is 0.7 * 100,000.
    assert world.ends_s == [1000] * 7 + [1027, 120]
    assert stops(world) == [world.jobs[7].id]


def test_a_gang_that_holds_a_large_share_of_the_fleet_is_not_stopped() -> None:
    # 8 of 160 devices are a twentieth; of 168 they are less.
    for nodes, ends_s in ((20, 1020), (21, 70)):
        rows = jobs(*[(0, "long", 8, 1000)] * nodes, (50, "short", 1, 20))
        world = Small(nodes, policy(long=10_000, short=100), rows)

        assert world.ends_s[-1] == ends_s
        assert len(stops(world)) == (nodes == 21)


@pytest.mark.parametrize(("second_s", "first_starts"), [(50, False), (200, True)])
def test_a_second_of_waiting_is_worth_a_tenth_of_one_of_the_index(
    second_s: float, first_starts: bool
) -> None:
    # All is large here, so indexes count 8 times: 800 and 792 differ by 80 s of waiting.
    rows = jobs((0, "held", 8, 1000), (10, "more", 8, 50), (second_s, "less", 8, 50))
    world = Small(1, policy(held=1, more=100, less=99), rows)

    assert world.ends_s == [1000, *((1050, 1100) if first_starts else (1100, 1050))]


def test_gangs_count_a_little_less_and_by_gpu_time_where_nobody_stops_them() -> None:
    ranks_16 = policy(group=1000)
    need = Resources(sizes=(16,))

    assert ranks_16.line_rank("0 group", need) == pytest.approx(660, abs=1)  # 16 ** -0.15
    ranks_16.large = 16
    assert ranks_16.line_rank("0 group", need) == 16_000


def test_a_group_name_may_hold_blanks() -> None:
    named = policy(**{"my own job": 7})

    assert named.line_rank("1 my own job", Resources(sizes=(1,))) == 70
