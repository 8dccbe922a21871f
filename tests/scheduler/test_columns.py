"""Parts of devices, in the account of a node and in the arrays beside it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from irongrid.domain.device import Node, NodeShare, Placement
from irongrid.domain.ids import NodeId
from irongrid.domain.job import Resources
from irongrid.scheduler.columns import Columns
from irongrid.scheduler.fragments import Mix
from irongrid.scheduler.packing import Chooser, balanced
from irongrid.scheduler.rooms import Rooms


def node(name: str, devices: int = 2, cpus: float = 16.0, kind: str = "gpu") -> Node:
    return Node(id=NodeId(name), device_type=kind, devices=devices, cpus=cpus, memory_bytes=1000)


def on(name: str, *devices: int) -> Placement:
    return Placement(shares=(NodeShare(node=NodeId(name), devices=devices),))


def part(milli: int, cpus: float = 0.0) -> Resources:
    return Resources(device_milli=milli, cpus=cpus)


def test_a_device_of_which_a_part_is_held_is_not_free_but_for_other_parts() -> None:
    rooms = Rooms([node("a")])

    rooms.take(on("a", 1), part(300))

    assert rooms.free[NodeId("a")].devices == {0}
    assert rooms.free[NodeId("a")].parts == {1: 700}
    assert (rooms.free_total, rooms.held_total) == (1, 1)
    assert rooms.free[NodeId("a")].has((1,), 700)
    assert not rooms.free[NodeId("a")].has((1,), 701)


def test_a_device_is_whole_again_when_its_last_part_comes_back() -> None:
    rooms = Rooms([node("a")])
    rooms.take(on("a", 0), part(300))
    rooms.take(on("a", 0), part(700))
    assert rooms.free[NodeId("a")].parts == {}

    rooms.release(on("a", 0), part(300))
    assert rooms.free[NodeId("a")].parts == {0: 300}
    rooms.release(on("a", 0), part(700))

    assert rooms.free[NodeId("a")].devices == {0, 1}
    assert rooms.free_total == 2


def test_a_rank_without_a_device_takes_cpus_only() -> None:
    rooms = Rooms([node("a")])

    rooms.take(on("a", 0), part(0, cpus=10.0))

    assert rooms.free[NodeId("a")].devices == {0, 1}
    assert rooms.free[NodeId("a")].cpus == 6.0


def test_what_fits_is_told_by_device_for_parts_and_by_node_for_the_rest() -> None:
    rooms = Rooms([node("a"), node("b", cpus=4.0, kind="big")])
    rooms.take(on("a", 0), part(600))
    columns = rooms.columns()
    rows = np.arange(2)

    assert columns.fits(rows, part(500)).tolist() == [[False, True], [True, True]]
    assert columns.fits(rows, part(500, cpus=5.0)).tolist() == [[False, True], [False, False]]
    assert columns.fits(rows, Resources(sizes=(2,)))[:, 0].tolist() == [False, True]
    only_big = Resources(sizes=(1,), accelerator="big|huge")
    assert columns.fits(rows, only_big)[:, 0].tolist() == [False, True]


def test_closed_nodes_fit_nothing_until_they_are_open_again() -> None:
    rooms = Rooms([node("a")])
    columns = rooms.columns()
    rooms.close(NodeId("a"))
    assert not columns.fits(np.arange(1), part(100)).any()

    before = columns.returned
    rooms.open(NodeId("a"))

    assert columns.fits(np.arange(1), part(100)).all()
    assert columns.returned > before


needs = st.one_of(
    st.builds(part, st.integers(1, 999), st.sampled_from([0.0, 0.5, 3.0])),
    st.builds(lambda n: Resources(sizes=(n,), cpus=1.25), st.integers(1, 4)),
    st.builds(lambda: part(0, cpus=2.0)),
)


@given(st.lists(st.tuples(needs, st.booleans()), max_size=60))
def test_no_device_is_held_more_than_once_over_and_no_node_beyond_its_cpus(
    steps: list[tuple[Resources, bool]],
) -> None:
    rooms = Rooms([node("a", devices=4), node("b"), node("c", devices=1, cpus=3.0)])
    mix = Mix()
    chooser = Chooser(rooms.columns(), balanced, mix)
    held: list[tuple[Placement, Resources]] = []
    for need, end_one in steps:
        mix.learn(need)
        if end_one and held:
            rooms.release(*held.pop(0))
        placement = chooser.choose(need)
        if placement is not None:
            rooms.take(placement, need)
            held.append((placement, need))
    milli: dict[tuple[str, int], int] = {}
    cpus: dict[str, float] = {}
    for placement, need in held:
        (share,) = placement.shares
        assert len(share.devices) == need.sizes[0]
        for device in share.devices:
            at = (share.node, device)
            milli[at] = milli.get(at, 0) + need.device_milli
        cpus[share.node] = cpus.get(share.node, 0.0) + need.sizes[0] * need.cpus
    for one in rooms.nodes.values():
        assert cpus.get(one.id, 0.0) <= one.cpus + 1e-6
        for device in range(one.devices):
            taken = milli.get((one.id, device), 0)
            assert taken <= 1000
            assert rooms.free[one.id].milli(device) == 1000 - taken
    _agrees(rooms)


def _agrees(rooms: Rooms) -> None:
    """The arrays that were kept up are those that one would build now."""
    kept, anew = rooms.columns(), Columns(rooms.nodes.values())
    for name, free in rooms.free.items():
        anew.note(name, free)
    assert np.array_equal(kept.milli_ND, anew.milli_ND)
    assert np.array_equal(kept.cpus_N, anew.cpus_N)
    assert np.array_equal(kept.memory_N, anew.memory_N)
