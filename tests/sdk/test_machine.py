"""This machine as a fleet."""

from irongrid.domain.device import Node
from irongrid.domain.ids import NodeId
from irongrid.sdk.machine import fleet_of, this_machine


def node(kind: str, devices: int) -> Node:
    return Node(
        id=NodeId("local"), device_type=kind, devices=devices, cpus=16.0, memory_bytes=64 * 2**30
    )


def test_cpu_cores_share_the_memory_of_the_host() -> None:
    (pool,) = fleet_of((node("cpu", 16),)).pools

    assert pool.devices == 16
    assert pool.accelerator.memory_bytes == 4 * 2**30
    assert pool.levels[0].bytes_per_s > 0


def test_gpus_keep_their_own_memory_and_link() -> None:
    (pool,) = fleet_of((node("H100", 8),)).pools

    assert pool.devices == 8
    assert pool.accelerator.memory_bytes > 70 * 2**30
    assert pool.levels[0].bytes_per_s == pool.accelerator.link_bytes_per_s
    assert pool.levels[0].link == "nvlink"


def test_this_machine_is_a_fleet_of_one_pool() -> None:
    fleet = this_machine()

    assert fleet.devices >= 1
    assert fleet.pools[0].host_memory_bytes > 0
