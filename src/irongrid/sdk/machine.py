"""This machine as a fleet, so that a plan needs no fleet file on a laptop or a GPU server."""

from collections.abc import Sequence
from dataclasses import replace

from irongrid.domain.device import Node
from irongrid.domain.fleet import Fleet, Level, Pool
from irongrid.spec.devices import accelerator, usual_node
from irongrid.telemetry.machine import discover_nodes

# Ranks on one machine without a scale-up link meet in host memory; a CPU's cores do as well.
HOST_BYTES_PER_S = 10e9
HOST_LATENCY_S = 10e-6


def this_machine() -> Fleet:
    """What jobs may use of this machine: its GPUs, or else its CPU cores.

    Raises:
        Refused: the catalog does not know the GPUs; a fleet file can describe them.
    """
    return fleet_of(discover_nodes(None))


def fleet_of(nodes: Sequence[Node]) -> Fleet:
    """Discovered nodes as one pool; all of them are alike."""
    node = nodes[0]
    device = accelerator(node.device_type)
    if device.generation == "cpu":
        # A CPU device is one core: its memory is its share of the host's.
        device = replace(device, memory_bytes=node.memory_bytes // node.devices)
    rate = device.link_bytes_per_s or min(device.host_bytes_per_s, HOST_BYTES_PER_S)
    level = Level(
        name="node",
        devices=node.devices * len(nodes),
        bytes_per_s=rate or HOST_BYTES_PER_S,
        latency_s=HOST_LATENCY_S,
        link="nvlink" if device.link_bytes_per_s else "pcie",
    )
    pool = Pool(
        name="local",
        accelerator=device,
        nodes=len(nodes),
        devices_per_node=node.devices,
        levels=(level,),
        rails=1,
        numa_domains=1,
        host_memory_bytes=node.memory_bytes,
        cpus=int(node.cpus),
        node_watts=usual_node(device.name).watts,
    )
    return Fleet(name="this machine", pools=(pool,))
