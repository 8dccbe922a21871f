"""First come with backfill, by hand-made views."""

import pytest

from irongrid.domain.decision import Start, Wait, WaitCode
from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import Resources
from irongrid.scheduler.first_come import decide
from irongrid.scheduler.view import ClusterView, NodeView, RunningView, WaitingView
from irongrid.units import NS_PER_S


def node(name: str, free: int, devices: int = 8, device_type: str = "cpu") -> NodeView:
    return NodeView(
        id=NodeId(name),
        device_type=device_type,
        devices=devices,
        cpus=64,
        memory_bytes=2**40,
        free_devices=tuple(range(devices - free, devices)),
        free_cpus=64,
        free_memory_bytes=2**40,
    )


def waiting(
    job: str, *sizes: int, limit_s: float | None = None, not_before_s: int = 0
) -> WaitingView:
    return WaitingView(
        job=JobId(job),
        resources=Resources(sizes=sizes),
        max_duration_s=limit_s,
        not_before_ns=not_before_s * NS_PER_S,
        code=WaitCode.NEW,
    )


def running(job: str, on: str, devices: int, ends_by_s: int | None = None) -> RunningView:
    share = NodeShare(node=NodeId(on), devices=tuple(range(devices)))
    return RunningView(
        job=JobId(job),
        resources=Resources(sizes=(devices,)),
        placement=Placement(shares=(share,)),
        ends_by_ns=None if ends_by_s is None else ends_by_s * NS_PER_S,
    )


def outcome(view: ClusterView) -> dict[str, str]:
    return {
        action.job: "start" if isinstance(action, Start) else action.code for action in decide(view)
    }


def view(
    nodes: list[NodeView], queue: list[WaitingView], runs: list[RunningView] | None = None
) -> ClusterView:
    return ClusterView(
        now_ns=0, nodes=tuple(nodes), waiting=tuple(queue), running=tuple(runs or [])
    )


def test_jobs_start_in_the_order_of_their_submission() -> None:
    queue = [waiting("j1", 5), waiting("j2", 4), waiting("j3", 3)]

    assert outcome(view([node("n0", 8)], queue))["j1"] == "start"
    assert outcome(view([node("n0", 8)], queue))["j2"] == WaitCode.NO_FREE_DEVICES


def test_a_small_job_fills_a_gap_that_the_first_one_cannot_use() -> None:
    # j0 ends at 100 s; then j1 has its 8. j2 ends at 50 s and is in nobody's way.
    found = view(
        [node("n0", 4)],
        [waiting("j1", 8), waiting("j2", 2, limit_s=50), waiting("j3", 2, limit_s=101)],
        [running("j0", "n0", 4, ends_by_s=100)],
    )

    assert outcome(found) == {
        "j1": WaitCode.NO_FREE_DEVICES,
        "j2": "start",
        "j3": WaitCode.BEHIND,
    }


def test_a_job_without_a_limit_may_use_what_the_reservation_leaves_over() -> None:
    found = view(
        [node("n0", 4)],
        [waiting("j1", 6), waiting("j2", 2), waiting("j3", 1)],
        [running("j0", "n0", 4, ends_by_s=100)],
    )

    assert outcome(found) == {
        "j1": WaitCode.NO_FREE_DEVICES,
        "j2": "start",
        "j3": WaitCode.BEHIND,
    }


def test_small_jobs_cannot_starve_a_large_one_even_without_any_limit() -> None:
    # j3 came after j2 and holds 2 already: with 2 more for j4, j2 could never have its 6.
    found = view(
        [node("n0", 2)],
        [waiting("j2", 6), waiting("j4", 2)],
        [running("j1", "n0", 4), running("j3", "n0", 2)],
    )

    assert outcome(found) == {"j2": WaitCode.NO_FREE_DEVICES, "j4": WaitCode.BEHIND}


def test_an_elastic_job_shrinks_rather_than_delay_the_first() -> None:
    found = view(
        [node("n0", 4)],
        [waiting("j1", 6), waiting("j2", 1, 2, 4)],
        [running("j0", "n0", 4, ends_by_s=100)],
    )
    starts = [action for action in decide(found) if isinstance(action, Start)]

    assert [start.placement.world_size for start in starts] == [2]


def test_a_gang_that_fits_one_node_takes_the_tightest_one() -> None:
    found = view([node("n0", 8), node("n1", 4)], [waiting("j1", 4)])
    (start,) = decide(found)

    assert isinstance(start, Start)
    assert [share.node for share in start.placement.shares] == ["n1"]


def test_a_gang_never_mixes_device_types() -> None:
    found = view([node("n0", 4, 4), node("n1", 4, 4, device_type="H100")], [waiting("j1", 8)])

    assert outcome(found) == {"j1": WaitCode.NEVER_FITS}


def test_what_never_fits_and_what_backs_off_holds_no_reservation() -> None:
    queue = [waiting("j1", 99), waiting("j2", 8, not_before_s=5), waiting("j3", 8)]

    assert outcome(view([node("n0", 8)], queue)) == {
        "j1": WaitCode.NEVER_FITS,
        "j2": WaitCode.BACKOFF,
        "j3": "start",
    }


def test_an_unchanged_reason_is_not_repeated() -> None:
    job = waiting("j1", 8)
    seen = WaitingView(
        job=job.job,
        resources=job.resources,
        max_duration_s=None,
        not_before_ns=0,
        code=WaitCode.NO_FREE_DEVICES,
    )

    assert decide(view([node("n0", 4)], [seen])) == ()
    assert isinstance(decide(view([node("n0", 4)], [job]))[0], Wait)


@pytest.mark.parametrize(("cpus", "fit"), [(0.1, 3), (0.15, 2), (0.31, 0)])
def test_decimal_fractions_of_a_cpu_add_up(cpus: float, fit: int) -> None:
    from irongrid.scheduler.capacity import Room

    assert Room(9, 0.3, 0).ranks(Resources(cpus=cpus)) == fit
