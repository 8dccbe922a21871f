"""Networks from generators: sizes by hand, and what must hold of any."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irongrid.domain.topology import Inside, Link, fat_tree, flat, leaf_spine, torus, torus_sides

NVLINK = Link(name="nvlink", bytes_per_s=450e9, latency_s=2e-6)
PCIE = Link(name="pcie", bytes_per_s=64e9, latency_s=2.5e-6)
NIC = Link(name="infiniband", bytes_per_s=50e9, latency_s=4e-6)
DGX = Inside(node_devices=8, island_devices=8, island=NVLINK, bus=PCIE)


def sizes(levels: object) -> list[tuple[str, int]]:
    return [(level.name, level.devices) for level in levels]  # type: ignore[attr-defined]


def test_a_flat_network_has_one_level_above_the_node() -> None:
    assert sizes(flat(DGX, 64, NIC)) == [("island", 8), ("site", 64)]


def test_islands_that_are_a_part_of_a_node_meet_on_its_bus() -> None:
    pairs = Inside(node_devices=8, island_devices=2, island=NVLINK, bus=PCIE)

    levels = flat(pairs, 16, NIC)
    assert sizes(levels) == [("island", 2), ("node", 8), ("site", 16)]
    assert levels[1].bytes_per_s == 64e9


def test_an_island_of_many_nodes_has_no_level_for_the_node() -> None:
    rack = Inside(node_devices=4, island_devices=72, island=NVLINK, bus=PCIE)

    assert sizes(leaf_spine(rack, 144, NIC, nodes_per_leaf=18)) == [("island", 72), ("site", 144)]


def test_only_the_top_of_a_leaf_spine_is_oversubscribed() -> None:
    levels = leaf_spine(DGX, 1024, NIC, nodes_per_leaf=32, oversubscription=3.0)

    assert sizes(levels) == [("island", 8), ("rack", 256), ("site", 1024)]
    assert [level.oversubscription for level in levels] == [1.0, 1.0, 3.0]


def test_the_fat_tree_of_llama_3_has_pods_of_3072() -> None:
    # arXiv:2407.21783, section 3.3.1: racks of 16, pods of 192 racks, 1:7 above.
    levels = fat_tree(DGX, 24_576, NIC, nodes_per_leaf=2, leaves_per_pod=192, oversubscription=7.0)

    assert sizes(levels) == [("island", 8), ("rack", 16), ("block", 3072), ("site", 24_576)]
    assert levels[-1].oversubscription == 7.0


def test_a_pool_of_one_device_still_has_a_level() -> None:
    alone = Inside(node_devices=1, island_devices=1, island=None, bus=PCIE)

    assert sizes(flat(alone, 1, NIC)) == [("site", 1)]


def test_a_torus_is_one_island_and_several_are_joined() -> None:
    assert sizes(torus((8, 8, 8), 512, NVLINK, NIC)) == [("island", 512)]
    assert sizes(torus((16, 16), 512, NVLINK, NIC)) == [("island", 256), ("site", 512)]


@pytest.mark.parametrize(
    ("devices", "axes", "sides"),
    [
        (512, 3, (8, 8, 8)),
        (256, 2, (16, 16)),
        (6144, 3, (16, 16, 24)),
        (7, 2, (1, 7)),
        (1, 3, (1, 1, 1)),
    ],
)
def test_a_torus_is_as_cubic_as_its_number_allows(
    devices: int, axes: int, sides: tuple[int, ...]
) -> None:
    assert torus_sides(devices, axes) == sides


@given(devices=st.integers(1, 20_000), axes=st.integers(1, 4))
def test_a_torus_has_every_device(devices: int, axes: int) -> None:
    sides = torus_sides(devices, axes)

    assert len(sides) == axes
    assert prod(sides) == devices


@given(
    nodes=st.integers(1, 5000),
    leaf=st.integers(1, 64),
    pod=st.integers(1, 64),
    over=st.floats(1, 16),
)
def test_levels_grow_and_the_last_one_spans_the_pool(
    nodes: int, leaf: int, pod: int, over: float
) -> None:
    devices = nodes * 8
    for levels in (
        flat(DGX, devices, NIC, oversubscription=over),
        leaf_spine(DGX, devices, NIC, nodes_per_leaf=leaf, oversubscription=over),
        fat_tree(DGX, devices, NIC, nodes_per_leaf=leaf, leaves_per_pod=pod, oversubscription=over),
    ):
        found = [level.devices for level in levels]
        assert found == sorted(set(found))
        assert found[-1] == devices
