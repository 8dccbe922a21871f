"""Which node and device a job gets: numbers that can be checked by hand."""

import numpy as np
import pytest

from irongrid.domain.device import Node, NodeShare, Placement
from irongrid.domain.ids import NodeId
from irongrid.domain.job import Resources
from irongrid.scheduler.fragments import Mix, Usual, lost, stranded
from irongrid.scheduler.packing import Chooser, best_fit, fgd
from irongrid.scheduler.rooms import Rooms

WHOLE = Resources(sizes=(1,), cpus=4.0)
HALF = Resources(sizes=(1,), cpus=4.0, device_milli=500)


def rooms_of(*cpus: float, devices: int = 2) -> Rooms:
    return Rooms(
        Node(id=NodeId(f"n{at}"), device_type="gpu", devices=devices, cpus=c, memory_bytes=0)
        for at, c in enumerate(cpus)
    )


def on(name: str, *devices: int) -> Placement:
    return Placement(shares=(NodeShare(node=NodeId(name), devices=devices),))


def mix_of(*needs: Resources) -> Mix:
    """A mix that has seen these, in equal parts."""
    mix = Mix()
    for _ in range(16 // len(needs)):
        for need in needs:
            mix.learn(need)
    return mix


def usual_of(rooms: Rooms, *needs: Resources) -> Usual:
    usual = mix_of(*needs).usual(rooms.columns())
    assert usual is not None
    return usual


def test_half_a_device_makes_a_fragment_of_its_other_half_where_jobs_want_whole_ones() -> None:
    rooms = rooms_of(64.0)
    rooms.take(on("n0", 0), HALF)
    usual = usual_of(rooms, WHOLE)

    # Device 0 has 500 left, which a whole job could not use anyway; device 1 loses all its 1000.
    found = lost(rooms.columns(), np.array([0]), HALF, usual)

    assert found.tolist() == [[0.0, 1000.0]]


def test_a_node_whose_cpus_go_loses_all_that_the_usual_job_could_use() -> None:
    rooms = rooms_of(4.0, 64.0)
    usual = usual_of(rooms, WHOLE)
    cpus_only = Resources(device_milli=0, cpus=1.0)

    # n0 keeps 3 CPUs, too few for a job that needs 4: its 2 devices are fragments.
    found = lost(rooms.columns(), np.array([0, 1]), cpus_only, usual)

    assert found[:, 0].tolist() == [2000.0, 0.0]


def test_growth_is_weighed_by_how_usual_a_job_is() -> None:
    rooms = rooms_of(64.0)
    usual = usual_of(rooms, WHOLE, HALF)

    # For whole jobs device 0 loses 1000, for half ones the 500 that are taken: half of each.
    found = lost(rooms.columns(), np.array([0]), HALF, usual)

    assert found[0, 0] == pytest.approx(750.0)


def test_cpus_of_a_node_that_has_too_many_are_free() -> None:
    rooms = rooms_of(6.0, 64.0)
    usual = usual_of(rooms, WHOLE)
    cpus_only = Resources(device_milli=0, cpus=2.0)

    # A job needs 4 CPUs per 1000: n0 is good for 1500 of its 2000 before, for 1000 after.
    found = stranded(rooms.columns(), np.array([0, 1]), cpus_only, usual)

    assert found.tolist() == [500.0, 0.0]


def test_fgd_completes_a_device_where_best_fit_goes_by_what_is_left() -> None:
    rooms = rooms_of(64.0, 64.0)
    rooms.take(on("n0", 0), HALF)
    rooms.take(on("n1", 0, 1), Resources(sizes=(2,), device_milli=400))
    mix = mix_of(WHOLE)

    # n1 has less left (1200 against 1500), but both halves of its devices are lost to whole jobs
    # anyway, as is that of n0: equal growth of 0, so the tighter node.
    assert Chooser(rooms.columns(), fgd, mix).choose(HALF) == on("n1", 0)
    # A job of 0.7 fits only where it breaks a whole device: only n0 has one.
    big = Resources(device_milli=700, cpus=1.0)
    assert Chooser(rooms.columns(), fgd, mix).choose(big) == on("n0", 1)


def test_best_fit_takes_the_fuller_device_of_the_fuller_node() -> None:
    rooms = rooms_of(64.0, 64.0)
    rooms.take(on("n1", 1), HALF)

    assert Chooser(rooms.columns(), best_fit, Mix()).choose(HALF) == on("n1", 1)


def test_a_need_that_does_not_fit_is_remembered_until_something_comes_back() -> None:
    rooms = rooms_of(64.0, devices=1)
    rooms.take(on("n0", 0), HALF)
    chooser = Chooser(rooms.columns(), best_fit, Mix())

    assert chooser.choose(WHOLE) is None
    assert chooser.full(WHOLE)
    rooms.release(on("n0", 0), HALF)

    assert not chooser.full(WHOLE)
    assert chooser.choose(WHOLE) == on("n0", 0)


def test_what_comes_later_is_no_part_of_the_mix() -> None:
    rooms = rooms_of(64.0)
    mix = Mix()

    assert mix.usual(rooms.columns()) is None
    for _ in range(16):
        mix.learn(WHOLE)

    usual = mix.usual(rooms.columns())
    assert usual is not None
    assert usual.share_T.tolist() == [1.0]
    assert usual.milli_T.tolist() == [1000]
