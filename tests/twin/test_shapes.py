"""What charts are drawn from."""

import numpy as np
import pytest

from irongrid.domain.ids import NodeId
from irongrid.twin.recorder import Seen
from irongrid.twin.shapes import distribution, evenness, held, shades


def seen(values: list[list[float]], devices: tuple[int, ...], per_row: int = 1) -> Seen:
    table = np.array(values)
    return Seen(
        node_ids=tuple(NodeId(f"n{at}") for at in range(len(devices))),
        node_devices=devices,
        nodes_per_row=per_row,
        held=table,
        waiting=np.zeros(table.shape[1]),
        bin_s=10.0,
        end_s=10.0 * table.shape[1] - 5,
        held_device_s=np.zeros(len(devices)),
        job_device_s={},
        stretches=None,
    )


def test_shades_are_stretches_of_one_level_without_the_idle_ones() -> None:
    found = shades(seen([[0, 4, 4, 8], [1, 0, 0, 8]], (8, 8)), 4)

    assert found == [[(10.0, 30.0, 2), (30.0, 35.0, 4)], [(0.0, 10.0, 1), (30.0, 35.0, 4)]]


def test_a_row_of_several_nodes_counts_the_devices_of_all() -> None:
    # Three nodes in rows of two: 16 devices, and 4 in the last row.
    assert shades(seen([[8.0], [4.0]], (8, 8, 4), per_row=2), 2) == [
        [(0.0, 5.0, 1)],
        [(0.0, 5.0, 2)],
    ]


def test_long_runs_are_drawn_in_wider_bins() -> None:
    found = shades(seen([[8.0] * 480], (8,)), 4)

    assert found == [[(0.0, 4795.0, 4)]]


def test_devices_in_use_are_those_of_all_rows() -> None:
    assert held(seen([[1, 2], [3, 4]], (8, 8))) == [4.0, 6.0]


def test_a_distribution_goes_up_to_all_and_keeps_what_is_too_short_to_draw() -> None:
    points = distribution(np.array([0.0, 0.5, 10.0, 100.0]))

    assert points == [(1.0, 0.5), (10.0, 0.5), (10.0, 0.75), (100.0, 0.75), (100.0, 1.0)]


def test_a_large_distribution_is_thinned_but_keeps_its_ends_and_middle() -> None:
    points = distribution(np.arange(2.0, 100_002.0))

    assert len(points) < 1000
    assert points[0] == (2.0, 0.0)
    assert points[-1] == (100_001.0, 1.0)
    middle = min(points, key=lambda point: abs(point[1] - 0.5))
    assert middle[0] == pytest.approx(50_000, rel=0.01)


def test_evenness_is_one_for_equals_and_a_share_where_one_has_all() -> None:
    assert evenness([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert evenness([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
