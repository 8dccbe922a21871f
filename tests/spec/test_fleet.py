"""Fleet files: what a short one means, and what the examples are."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irongrid.domain.fleet import LEVELS, Fleet
from irongrid.errors import SpecError
from irongrid.spec.catalog import accelerator, load_fleet
from irongrid.spec.fleet import parse_fleet_document, parse_fleet_text
from irongrid.spec.fleet_fields import TOPOLOGIES, PoolFields
from irongrid.spec.links import link_classes

EXAMPLES = sorted((Path(__file__).parents[2] / "examples/fleets").glob("*.yaml"))


def fleet(text: str) -> Fleet:
    return parse_fleet_text(text, source="lab.yaml")


def test_a_pool_needs_only_its_device_and_its_nodes() -> None:
    lab = fleet("pools:\n  h100:\n    accelerator: H100\n    nodes: 4\n")

    pool = lab.pools[0]
    assert (lab.name, lab.devices, lab.sites[0].name) == ("lab", 32, "site")
    assert pool.accelerator == accelerator("H100")
    # A DGX: eight devices on NVLink, eight NICs of 400 Gbit/s, four nodes under one leaf.
    assert [(level.name, level.devices, level.bytes_per_s) for level in pool.levels] == [
        ("island", 8, 450e9),
        ("rack", 32, 50e9),
    ]
    assert (pool.rails, pool.host_memory_bytes, pool.usd_per_device_h) == (8, 2**41, None)


def test_half_a_node_has_half_of_what_a_node_has() -> None:
    pool = fleet("pools: {h: {accelerator: H100, nodes: 2, devices_per_node: 4}}").pools[0]

    assert (pool.rails, pool.host_memory_bytes, pool.cpus) == (4, 2**40, 56)
    assert (pool.levels[0].devices, pool.levels[1].bytes_per_s) == (4, 50e9)


def test_fewer_nics_than_devices_are_shared() -> None:
    text = "pools: {h: {accelerator: H100, nodes: 2, network: {link: ethernet-100, nics: 1}}}"
    pool = fleet(text).pools[0]

    # 100 Gbit/s are 12.5 GB/s, for eight devices.
    assert pool.levels[-1].bytes_per_s == pytest.approx(12.5e9 / 8)
    assert pool.levels[-1].link == "ethernet"


def test_a_rack_of_nvlink_is_one_island_and_less_than_a_rack_too() -> None:
    rack = fleet("pools: {g: {accelerator: GB200, nodes: 36}}").pools[0]
    part = fleet("pools: {g: {accelerator: GB200, nodes: 4}}").pools[0]

    assert [(level.name, level.devices) for level in rack.levels] == [("island", 72), ("site", 144)]
    assert [(level.name, level.devices) for level in part.levels] == [("island", 16)]


def test_devices_without_scale_up_links_meet_over_pcie() -> None:
    pool = fleet("pools: {c: {accelerator: RTX 4090, nodes: 2, devices_per_node: 4}}").pools[0]

    assert [(level.name, level.link, level.devices) for level in pool.levels] == [
        ("node", "pcie", 4),
        ("rack", "ethernet", 8),
    ]


def test_pairs_on_a_bridge_are_islands_inside_a_node() -> None:
    pool = fleet("pools: {c: {accelerator: H100-NVL, nodes: 1}}").pools[0]

    assert [(level.name, level.devices) for level in pool.levels] == [("island", 2), ("node", 4)]


def test_tpus_form_a_torus_as_square_as_their_number_allows() -> None:
    pool = fleet("pools: {t: {accelerator: TPU v5e, nodes: 8}}").pools[0]

    assert pool.torus == (8, 8)
    assert [(level.name, level.devices, level.link) for level in pool.levels] == [
        ("island", 64, "ici")
    ]


def test_more_tpus_than_a_pod_holds_are_several_tori_on_a_network() -> None:
    pool = fleet("pools: {t: {accelerator: TPU v5e, nodes: 64}}").pools[0]

    assert pool.torus == (16, 16)
    assert [(level.name, level.devices) for level in pool.levels] == [
        ("island", 256),
        ("site", 512),
    ]


def test_tpus_that_are_not_wired_as_a_torus_are_islands_of_one_host() -> None:
    text = "pools: {t: {accelerator: TPU v5e, nodes: 2, network: {topology: flat}}}"
    pool = fleet(text).pools[0]

    assert pool.torus == ()
    assert [(level.name, level.devices) for level in pool.levels] == [("island", 8), ("site", 16)]


def test_a_core_has_its_share_of_the_host_s_memory() -> None:
    text = "pools: {c: {accelerator: cpu, nodes: 1, devices_per_node: 8, host: {memory: 16GiB}}}"

    assert fleet(text).pools[0].accelerator.memory_bytes == 2 * 2**30


def test_a_catalog_device_can_differ_in_a_figure() -> None:
    text = "pools: {h: {accelerator: H100, nodes: 1, device: {peak_watts: 500, memory: 96GiB}}}"
    device = fleet(text).pools[0].accelerator

    assert (device.peak_watts, device.memory_bytes) == (500, 96 * 2**30)
    assert device.flops_per_s == accelerator("H100").flops_per_s


def test_an_unknown_device_is_given_by_its_numbers_and_called_uncertain() -> None:
    text = (
        "pools: {m: {accelerator: Mine-1, nodes: 2, device: {memory: 64GiB, memory_rate: 2TB/s, "
        "tflops: {bf16: 300}, peak_watts: 400, link_rate: 200GB/s}}}"
    )
    pool = fleet(text).pools[0]

    assert pool.accelerator.name == "Mine-1"
    assert pool.accelerator.uncertain
    assert pool.accelerator.flops_per_s == {"bf16": 300e12}
    assert pool.accelerator.idle_watts == 40
    assert (pool.levels[0].devices, pool.levels[0].bytes_per_s) == (8, 200e9)


def test_memory_tiers_prices_and_power_are_those_of_the_file() -> None:
    pool = fleet(
        "pools: {h: {accelerator: H100, nodes: 1, nvme: {size: 30TB, rate: 25GB/s}, "
        "cxl: {size: 4TiB, rate: 60GB/s}, usd_per_device_h: 2.5, node_watts: 4000, spot: true}}"
    ).pools[0]

    assert (pool.nvme_bytes, pool.nvme_bytes_per_s) == (30 * 10**12, 25e9)
    assert (pool.cxl_bytes, pool.cxl_bytes_per_s) == (2**42, 60e9)
    assert (pool.usd_per_device_h, pool.node_watts, pool.spot) == (2.5, 4000, True)


def test_sites_may_be_joined_by_way_of_a_third() -> None:
    text = """
pools:
  a: {accelerator: H100, nodes: 1, site: oslo}
  b: {accelerator: H100, nodes: 1, site: bergen}
sites: {oslo: {}, bergen: {}, drammen: {}}
links:
  - {between: [drammen, bergen], rate: 10Gbit/s, latency: 2ms}
  - {between: [oslo, drammen], rate: 8Gbit/s, latency: 3ms}
"""
    found = fleet(text)

    assert found.wide_links[1].bytes_per_s == 1e9
    assert found.wide_links[0].latency_s == pytest.approx(0.002)


def test_a_pool_stands_at_the_only_site() -> None:
    found = fleet("pools: {a: {accelerator: L4, nodes: 1}}\nsites: {oslo: {pue: 1.1}}\n")

    assert found.pools[0].site == "oslo"
    assert found.site("oslo").pue == 1.1


def test_a_document_means_what_the_text_means() -> None:
    text = "name: a\npools: {a: {accelerator: L4, nodes: 3}}\n"
    document = {"name": "a", "pools": {"a": {"accelerator": "L4", "nodes": 3}}}

    assert parse_fleet_document(document, source="body") == fleet(text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_right_fleet_called_after_its_file(path: Path) -> None:
    found = load_fleet(str(path))

    assert found.name == path.stem
    for pool in found.pools:
        assert pool.levels[-1].devices == pool.devices
        sizes = [level.devices for level in pool.levels]
        assert sizes == sorted(set(sizes))
        assert {level.name for level in pool.levels} <= set(LEVELS)
        assert all(math.isfinite(level.bytes_per_s) for level in pool.levels)
        assert all(level.bytes_per_s > 0 and level.latency_s > 0 for level in pool.levels)
        assert pool.devices == pool.nodes * pool.devices_per_node
        assert not pool.torus or pool.devices % math.prod(pool.torus) == 0


def test_the_examples_have_what_planners_differ_in() -> None:
    fleets = {path.stem: load_fleet(str(path)) for path in EXAMPLES}

    assert fleets["h100-16k"].devices == 16_384
    assert fleets["a100-1024"].devices == 1024
    assert fleets["gb200-nvl72"].pools[0].levels[0].devices == 72
    assert fleets["tpu-v5p-512"].pools[0].torus == (8, 8, 8)
    assert len({pool.accelerator.name for pool in fleets["mixed-h100-a100"].pools}) == 2
    assert len(fleets["two-sites"].wide_links) == 1
    assert fleets["laptop"].pools[0].accelerator.name == "cpu"


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        load_fleet(str(tmp_path / "fleet.yaml"))


NUMBERS = st.integers(-2, 2**40) | st.sampled_from([1, 2, 4, 8, 16, 32, 72, 64, 512])
RATES = st.sampled_from(["400Gbit/s", "0GB/s", "1e9GB/s", "50GB/s", "1bit/s", "9" * 30 + "GB/s"])
LINKS = st.sampled_from([*link_classes(), "none"])
POOLS = st.fixed_dictionaries(
    {
        "accelerator": st.sampled_from(["H100", "GB200", "L4", "TPU v5e", "TPU v4", "cpu", "?"]),
        "nodes": NUMBERS,
    },
    optional={
        "devices_per_node": NUMBERS,
        "island": NUMBERS,
        "scale_up": st.fixed_dictionaries({}, optional={"link": LINKS, "rate": RATES}),
        "network": st.fixed_dictionaries(
            {},
            optional={
                "link": LINKS,
                "rate": RATES,
                "nics": NUMBERS,
                "topology": st.sampled_from(TOPOLOGIES),
                "torus": st.lists(NUMBERS, max_size=4),
                "nodes_per_leaf": NUMBERS,
                "leaves_per_pod": NUMBERS,
                "oversubscription": st.floats(),
            },
        ),
        "usd_per_device_h": st.floats(),
        "node_watts": st.integers(-(2**70), 2**70),
    },
)


@settings(max_examples=100, deadline=None)
@given(pool=POOLS)
def test_whatever_a_pool_holds_it_is_a_network_or_a_report(pool: dict[str, Any]) -> None:
    with suppress(SpecError):
        found = parse_fleet_document({"pools": {"a": pool}}, source="body").pools[0]
        assert found.levels[-1].devices == found.devices
        assert all(0 < level.bytes_per_s < math.inf for level in found.levels)
        assert not found.torus or found.devices % math.prod(found.torus) == 0


def test_the_random_pools_cover_the_fields_of_a_network() -> None:
    network = PoolFields.model_fields["network"].annotation

    assert network is not None
    assert set(network.model_fields) - {"latency"} == {
        "link", "rate", "nics", "topology", "torus", "nodes_per_leaf", "leaves_per_pod",
        "oversubscription",
    }  # fmt: skip
