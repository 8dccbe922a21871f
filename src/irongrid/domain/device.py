"""Devices and the nodes that hold them."""

from dataclasses import dataclass

from irongrid.domain.ids import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine, or a part of one that its engine presents as a node.

    Attributes:
        device_type: `cpu` for CPU slots, else the product's name such as `H100`.
        devices: how many, indexed from 0.
        cpus: CPU cores that ranks may use.
        memory_bytes: host memory that ranks may use.
    """

    id: NodeId
    device_type: str
    devices: int
    cpus: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShare:
    """The devices of one node that an attempt holds, by index."""

    node: NodeId
    devices: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a gang runs: one rank per device, ranks numbered node by node."""

    shares: tuple[NodeShare, ...]

    @property
    def world_size(self) -> int:
        """Ranks of the gang."""
        return sum(len(share.devices) for share in self.shares)

    def first_rank(self, node: NodeId) -> int:
        """Global rank of the node's first device."""
        rank = 0
        for share in self.shares:
            if share.node == node:
                return rank
            rank += len(share.devices)
        raise KeyError(node)

    def share_of(self, node: NodeId) -> NodeShare:
        """The part of the placement on one node."""
        return next(share for share in self.shares if share.node == node)
