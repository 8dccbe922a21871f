"""Time of collectives between the ranks of one group, on an island, in a node and beyond.

A ring moves 2 (n - 1) / n of the payload for an all-reduce, half of it for a reduce-scatter or an
all-gather. A group wider than the island runs in levels: inside each island, then between islands
with as many lanes as the group has members in one, then between the blocks of an oversubscribed
network in the same way.
Sources: Patarasuk and Yuan, J. Parallel Distrib. Comput. 69(2), 2009; NCCL tests' PERFORMANCE.md
for the factors (read 2026-11).
"""

from dataclasses import dataclass

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import Column, Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How a group lies on the machine.

    Attributes:
        ranks: members of the group.
        inside: members in one island (or node, where that is wider).
        block: members below the first oversubscribed level of the network.
    """

    ranks: Column
    inside: Column
    block: Column


def reach_of(machine: Machine, ranks: Column, stride: Column) -> Reach:
    """A group of `ranks` members whose neighbours are `stride` ranks apart, node-major."""
    domain = np.maximum(machine.island_devices, 1)
    inside = np.clip(np.floor(domain / np.asarray(stride, float)), 1, ranks)
    block = np.clip(np.floor(machine.block_devices / np.asarray(stride, float)), inside, ranks)
    return Reach(ranks=ranks, inside=inside, block=block)


def half_ring_s(payload_bytes: Column, reach: Reach, machine: Machine, c: Coefficients) -> Column:
    """Seconds of a reduce-scatter or an all-gather of `payload_bytes` in all.

    The links inside the island carry the island's part; the NICs of its members, together, what
    leaves it. All members of a block share what is left for the spine.
    """
    ranks = np.asarray(reach.ranks, float)
    inside = np.asarray(reach.inside, float)
    block = np.asarray(reach.block, float)
    groups = np.maximum(block / inside, 1.0)
    blocks = np.maximum(ranks / block, 1.0)
    near = payload_bytes * (inside - 1) / inside / (c.island_share * machine.island_bytes_per_s)
    near = near + (inside - 1) * machine.island_latency_s * c.collective_latency
    far = payload_bytes / inside * (groups - 1) / groups / (c.net_share * machine.net_bytes_per_s)
    far = far + payload_bytes / block * (blocks - 1) / blocks / (c.net_share * _spine(machine))
    hops = np.log2(groups * blocks) * machine.net_latency_s * c.collective_latency
    return np.where(ranks > 1, near + far + hops, 0.0)


def send_s(
    payload_bytes: Column, ranks: Column, stride: Column, machine: Machine, c: Coefficients
) -> Column:
    """Seconds until each of a chain of `ranks`, `stride` ranks apart, has sent to the next."""
    near = np.asarray(stride) < machine.island_devices
    # Of a block's devices, as many as the stride send to the next block.
    crossing = np.maximum(machine.block_devices / np.asarray(stride, float), 1.0)
    wide = np.asarray(ranks) * stride > machine.block_devices
    across = np.minimum(machine.net_bytes_per_s, crossing * _spine(machine))
    net = np.where(wide, across, machine.net_bytes_per_s)
    rate = np.where(near, c.island_share * machine.island_bytes_per_s, c.net_share * net)
    return payload_bytes / rate + np.where(near, machine.island_latency_s, machine.net_latency_s)


def all_to_all_s(
    sent_bytes: Column, copies: Column, reach: Reach, machine: Machine, c: Coefficients
) -> Column:
    """Seconds of an all-to-all in which each rank sends `sent_bytes`, evenly over the group.

    What leaves an island goes to each other island once and is relayed inside: `copies` of a token
    are the most that it needs (its experts), the islands are the most that it can reach.
    Source: DeepEP's relay over NVLink, DeepSeek-V3, arXiv:2412.19437, section 3.2.2.
    """
    ranks = np.asarray(reach.ranks, float)
    inside = np.asarray(reach.inside, float)
    islands = np.maximum(ranks / inside, 1.0)
    reached = islands * (1 - (1 - 1 / islands) ** np.maximum(copies, 1.0))
    away = sent_bytes * reached / np.maximum(copies, 1.0) * (islands - 1) / islands
    near = sent_bytes * (inside - 1) / inside / (c.island_share * machine.island_bytes_per_s)
    beyond = away * (1 - np.asarray(reach.block, float) / ranks)
    far = np.maximum(away / machine.net_bytes_per_s, beyond / _spine(machine)) / c.net_share
    hops = np.log2(np.maximum(ranks, 1.0)) * machine.island_latency_s * c.collective_latency
    return np.where(ranks > 1, np.maximum(near, far) + 0.3 * np.minimum(near, far) + hops, 0.0)


def _spine(machine: Machine) -> Column:
    """Byte/s of one device beyond its block, never more than inside it."""
    spine: Column = np.minimum(machine.spine_bytes_per_s, machine.net_bytes_per_s)
    return spine
