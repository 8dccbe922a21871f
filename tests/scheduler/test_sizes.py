"""The sizes of a fleet."""

from tests.scheduler.test_assign import fleet


def test_a_small_fleet_has_every_count() -> None:
    sizes = fleet(a=(2, 2), b=(1, 3))

    assert sizes.kinds == ("a", "b")
    assert sizes.devices_C.tolist() == [1, 2, 3, 4, 1, 2, 3]
    assert sizes.nodes_C.tolist() == [1, 1, 2, 2, 1, 1, 1]
    assert sizes.column("b", 2) == 5
    assert sizes.column("b", 4) is None


def test_a_large_fleet_has_at_most_64_sizes_and_whole_nodes_beyond_the_first() -> None:
    sizes = fleet(a=(100, 8), b=(200, 4))

    assert len(sizes) <= 64
    large = sizes.devices_C[(sizes.kind_C == 0) & (sizes.devices_C > 8)]
    assert (large % 8 == 0).all()
    assert large.max() > 400
