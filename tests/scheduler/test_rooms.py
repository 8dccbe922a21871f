"""Free capacity and tight places."""

import pytest

from irongrid.domain.device import Node, NodeShare, Placement
from irongrid.domain.ids import NodeId
from irongrid.domain.job import Resources
from irongrid.scheduler.rooms import Hope, Rooms

ONE = Resources(sizes=(1,))


def node(name: str, devices: int = 8, kind: str = "gpu", cpus: float = 64.0) -> Node:
    return Node(id=NodeId(name), device_type=kind, devices=devices, cpus=cpus, memory_bytes=2**38)


def share(name: str, *devices: int) -> NodeShare:
    return NodeShare(node=NodeId(name), devices=devices)


def placed(*shares: NodeShare) -> Placement:
    return Placement(shares=shares)


def test_a_gang_that_fits_a_node_gets_the_fullest_one_that_suffices() -> None:
    rooms = Rooms([node("a"), node("b"), node("c")])
    rooms.take(placed(share("b", 0, 1, 2)), ONE)
    rooms.take(placed(share("c", 0, 1, 2, 3, 4)), ONE)

    # c has 3 free, b has 5, a has 8.
    assert rooms.consolidated(ONE, 3) == placed(share("c", 5, 6, 7))
    assert rooms.consolidated(ONE, 4) == placed(share("b", 3, 4, 5, 6))
    assert rooms.consolidated(ONE, 6) == placed(share("a", 0, 1, 2, 3, 4, 5))


def test_a_gang_that_fits_a_node_is_never_split_over_two() -> None:
    rooms = Rooms([node("a"), node("b")])
    rooms.take(placed(share("a", 0, 1, 2, 3), share("b", 0, 1, 2, 3)), ONE)

    assert rooms.free_total == 8
    assert rooms.consolidated(ONE, 5) is None


def test_a_large_gang_gets_whole_nodes_and_the_tightest_one_for_its_rest() -> None:
    rooms = Rooms([node("a"), node("b"), node("c")])
    rooms.take(placed(share("a", 0, 1, 2)), ONE)

    found = rooms.consolidated(ONE, 12)

    assert found == placed(share("a", 3, 4, 5, 6), share("b", *range(8)))
    assert rooms.consolidated(ONE, 24) is None


def test_ties_go_to_the_lower_node_id_whatever_the_order_of_the_fleet() -> None:
    for names in (("a", "b"), ("b", "a")):
        assert Rooms([node(name) for name in names]).consolidated(ONE, 2) == placed(
            share("a", 0, 1)
        )


def test_a_gang_stays_on_one_type_and_on_the_one_it_asks_for() -> None:
    rooms = Rooms([node("a", 4, "t4"), node("b", 4, "a100")])

    assert rooms.consolidated(Resources(accelerator="t4"), 4) == placed(share("a", 0, 1, 2, 3))
    assert rooms.consolidated(ONE, 8) is None
    assert rooms.consolidated(Resources(accelerator="h100"), 1) is None


def test_cpus_count_as_well() -> None:
    rooms = Rooms([node("a", cpus=4.0), node("b", cpus=64.0)])
    need = Resources(sizes=(2,), cpus=3.0)

    assert rooms.consolidated(need, 2) == placed(share("b", 0, 1))
    assert rooms.ever_fits(need, 8)
    assert not rooms.ever_fits(need, 16)


def test_what_is_tried_out_comes_back() -> None:
    rooms = Rooms([node("a"), node("b")])
    rooms.take(placed(share("b", 0)), Resources(cpus=1.5))
    before = {name: (set(f.devices), f.cpus, f.memory_bytes) for name, f in rooms.free.items()}

    with rooms.trial() as trial:
        first = rooms.consolidated(ONE, 7)
        assert first == placed(share("b", 1, 2, 3, 4, 5, 6, 7))
        trial.take(first, ONE)
        mark = trial.mark()
        trial.release(placed(share("b", 0)), Resources(cpus=1.5))
        assert rooms.consolidated(ONE, 1) == placed(share("b", 0))
        trial.undo(mark)
        assert rooms.consolidated(ONE, 1) == placed(share("a", 0))

    after = {name: (set(f.devices), f.cpus, f.memory_bytes) for name, f in rooms.free.items()}
    assert after == before
    assert rooms.consolidated(ONE, 7) == first
    assert rooms.free_total == 15


def test_an_error_inside_a_trial_takes_everything_back_too() -> None:
    rooms = Rooms([node("a")])

    def fail() -> None:
        with rooms.trial() as trial:
            trial.take(placed(share("a", 0, 1)), ONE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert rooms.free_total == 8


def test_hope_for_a_gang_needs_enough_on_one_node() -> None:
    rooms = Rooms([node("a"), node("b")])
    rooms.take(placed(share("a", *range(7)), share("b", *range(7))), ONE)
    hope = Hope(rooms, ONE, 4)

    assert not hope.back(placed(share("a", 0, 1)))
    assert not hope.back(placed(share("b", 0, 1)))
    # One free and two back on each; the third on b makes four there.
    assert hope.back(placed(share("b", 2)))


def test_hope_for_a_large_gang_needs_whole_nodes() -> None:
    rooms = Rooms([node("a"), node("b"), node("c")])
    rooms.take(placed(share("a", *range(8)), share("b", 0)), ONE)
    hope = Hope(rooms, ONE, 20)

    # Two of three nodes must be whole: c is, and neither a part of a nor all but one of it helps.
    assert not hope.back(placed(share("a", 0, 1, 2)))
    assert not hope.back(placed(share("a", 3, 4, 5, 6)))
    assert hope.back(placed(share("b", 0)))


def test_there_is_no_hope_on_a_type_that_the_fleet_lacks() -> None:
    rooms = Rooms([node("a")])
    hope = Hope(rooms, Resources(accelerator="h100"), 9)

    assert not hope.back(placed(share("gone", 0)))
