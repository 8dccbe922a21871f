"""Time of collectives between the ranks of one group, on an island, in a node and beyond.

A ring moves 2 (n - 1) / n of the payload for an all-reduce, half of it for a reduce-scatter or an
all-gather. A group wider than the island runs in two levels: inside each island, then between
islands with as many lanes as the group has members in one. Where the network thins out above a
pod, only what leaves the pod passes the thin part: of a ring one edge each way, however many of its
members lie in the pod.
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
        inside: members in one island.
        in_pod: members under switches that carry all that devices send.
    """

    ranks: Column
    inside: Column
    in_pod: Column


def reach_of(machine: Machine, ranks: Column, stride: Column) -> Reach:
    """A group of `ranks` members whose neighbours are `stride` ranks apart, node-major."""
    apart = np.asarray(stride, float)
    inside = np.clip(np.floor(np.maximum(machine.island_devices, 1) / apart), 1, ranks)
    in_pod = np.clip(np.floor(machine.pod_devices / apart), inside, ranks)
    return Reach(ranks=ranks, inside=inside, in_pod=in_pod)


def half_ring_s(payload_bytes: Column, reach: Reach, machine: Machine, c: Coefficients) -> Column:
    """Seconds of a reduce-scatter or an all-gather of `payload_bytes` in all.

    The links inside the island carry the island's part; the NICs of its members, together, what
    leaves it; the switches between pods, at the same time, what leaves a pod.
    """
    ranks = np.asarray(reach.ranks, float)
    inside = np.asarray(reach.inside, float)
    groups = np.maximum(ranks / inside, 1.0)
    near = payload_bytes * (inside - 1) / inside / (c.island_share * machine.island_bytes_per_s)
    near = near + (inside - 1) * machine.island_latency_s * c.collective_latency
    in_pod = np.asarray(reach.in_pod, float)
    pods = np.maximum(ranks / in_pod, 1.0)
    nics = payload_bytes / inside * (groups - 1) / groups / machine.net_bytes_per_s
    core = payload_bytes / in_pod * (pods - 1) / pods / machine.core_bytes_per_s
    far = np.maximum(nics, core) / c.net_share
    far = far + np.log2(groups) * machine.net_latency_s * c.collective_latency
    return np.where(ranks > 1, near + np.where(groups > 1, far, 0.0), 0.0)


def send_s(
    payload_bytes: Column, ranks: Column, stride: Column, machine: Machine, c: Coefficients
) -> Column:
    """Seconds until each of a chain of `ranks` has sent to the next, `stride` ranks apart.

    At a pod's border `stride` devices send at once through the core.
    """
    near = np.asarray(stride) < machine.island_devices
    core = machine.core_bytes_per_s * np.maximum(machine.pod_devices / np.asarray(stride), 1.0)
    one_pod = np.asarray(ranks) * stride <= machine.pod_devices
    far = np.where(one_pod, machine.net_bytes_per_s, np.minimum(machine.net_bytes_per_s, core))
    rate = np.where(near, c.island_share * machine.island_bytes_per_s, c.net_share * far)
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
    pods = np.maximum(ranks / np.asarray(reach.in_pod, float), 1.0)
    # Of what leaves the islands, the part that is meant for islands of other pods.
    beyond = (pods - 1) / pods * islands / np.maximum(islands - 1, 1.0)
    core = away * np.minimum(beyond, 1.0) / machine.core_bytes_per_s
    far = np.maximum(away / machine.net_bytes_per_s, core) / c.net_share
    hops = np.log2(np.maximum(ranks, 1.0)) * machine.island_latency_s * c.collective_latency
    return np.where(ranks > 1, np.maximum(near, far) + 0.3 * np.minimum(near, far) + hops, 0.0)
