"""How many ranks fit where: devices, CPUs and host memory together.

The room of a cluster is counted per node in ranks of one request, as a gang may span nodes but a
rank may not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.ids import NodeId
from irongrid.domain.job import Resources
from irongrid.scheduler.view import NodeView


@dataclass(frozen=True, slots=True)
class Room:
    """Free devices, CPUs and memory of one node."""

    devices: int
    cpus: float
    memory_bytes: int

    def plus(self, ranks: int, resources: Resources) -> "Room":
        """The room after that many ranks have left; negative `ranks` for arrivals."""
        return Room(
            self.devices + ranks,
            self.cpus + ranks * resources.cpus,
            self.memory_bytes + ranks * resources.memory_bytes,
        )

    def ranks(self, resources: Resources) -> int:
        """Ranks of a request that fit."""
        fit = self.devices
        if resources.cpus > 0:
            # CPUs are decimal fractions: 3 x 0.1 must fit in 0.3.
            fit = min(fit, int(self.cpus / resources.cpus + 1e-9))
        if resources.memory_bytes > 0:
            fit = min(fit, self.memory_bytes // resources.memory_bytes)
        return max(fit, 0)


def free_room(nodes: Iterable[NodeView]) -> dict[NodeId, Room]:
    """What is free now."""
    return {
        node.id: Room(len(node.free_devices), node.free_cpus, node.free_memory_bytes)
        for node in nodes
    }


def whole_room(nodes: Iterable[NodeView]) -> dict[NodeId, Room]:
    """What an empty cluster has."""
    return {node.id: Room(node.devices, node.cpus, node.memory_bytes) for node in nodes}


def eligible(nodes: Iterable[NodeView], resources: Resources) -> dict[str, list[NodeView]]:
    """Nodes that a request may use, by device type: a gang never mixes types."""
    groups: dict[str, list[NodeView]] = {}
    for node in nodes:
        if resources.allows(node.device_type):
            groups.setdefault(node.device_type, []).append(node)
    return groups


def largest_gang(
    nodes: Iterable[NodeView], room: Mapping[NodeId, Room], resources: Resources
) -> int:
    """The most ranks of this request that fit together; 0 if none do."""
    groups = eligible(nodes, resources).values()
    return max((sum(room[n.id].ranks(resources) for n in group) for group in groups), default=0)


def place(nodes: Iterable[NodeView], resources: Resources, ranks: int) -> Placement | None:
    """Place a gang on the fewest nodes of one device type, or None if it does not fit now.

    Fewer nodes keep more of the collective traffic on fast local links. The last node taken is the
    tightest fit, which leaves whole nodes to larger gangs. Ties go to the lower node id, so equal
    input gives equal output.
    """
    best: tuple[int, str, Placement] | None = None
    for device_type, group in sorted(eligible(nodes, resources).items()):
        room = free_room(group)
        slots = {node.id: room[node.id].ranks(resources) for node in group}
        taken = _fewest_nodes(slots, ranks)
        if taken is None:
            continue
        free = {node.id: node.free_devices for node in group}
        shares = tuple(
            NodeShare(node=node, devices=free[node][:count])
            for node, count in sorted(taken.items())
        )
        candidate = (len(shares), device_type, Placement(shares=shares))
        if best is None or candidate[:2] < best[:2]:
            best = candidate
    return best[2] if best else None


def _fewest_nodes(slots: dict[NodeId, int], ranks: int) -> dict[NodeId, int] | None:
    if sum(slots.values()) < ranks:
        return None
    left = {node: count for node, count in slots.items() if count > 0}
    taken: dict[NodeId, int] = {}
    missing = ranks
    while missing > 0:
        fits = [node for node in left if left[node] >= missing]
        if fits:
            node = min(fits, key=lambda n: (left[n], n))
        else:
            node = min(left, key=lambda n: (-left[n], n))
        taken[node] = min(missing, left.pop(node))
        missing -= taken[node]
    return taken
