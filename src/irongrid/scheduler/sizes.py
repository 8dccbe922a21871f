"""The sizes that elastic jobs may have on a fleet: device types and counts, kept together.

A gang of n devices takes whole nodes and a part of one more, so a type and a count say all of its
shape. Columns stand for sizes in every array of the elastic policies.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from irongrid.domain.device import Node

# A curve has at most 64 points (design, section 5).
MOST_SIZES = 64


@dataclass(frozen=True)
class Sizes:
    """Every size of a fleet, by type and then by count.

    Attributes:
        kinds: device types in order of their names.
        capacity: devices of each kind.
        per_node: devices of the largest node of each kind.
        kind_C: index into `kinds`; C runs over sizes here and elsewhere.
        devices_C: ranks.
    """

    kinds: tuple[str, ...]
    capacity: tuple[int, ...]
    per_node: tuple[int, ...]
    kind_C: np.ndarray
    devices_C: np.ndarray

    @cached_property
    def nodes_C(self) -> np.ndarray:
        """Nodes that a gang of each size spans."""
        found: np.ndarray = -(-self.devices_C // np.array(self.per_node)[self.kind_C])
        return found

    @cached_property
    def _column(self) -> dict[tuple[str, int], int]:
        return {
            (self.kinds[kind], int(devices)): at
            for at, (kind, devices) in enumerate(zip(self.kind_C, self.devices_C, strict=True))
        }

    def column(self, kind: str, devices: int) -> int | None:
        """Where a size stands; None if it is none of ours."""
        return self._column.get((kind, devices))

    def __len__(self) -> int:
        return len(self.devices_C)


def sizes_of(nodes: Iterable[Node]) -> Sizes:
    """The sizes of a fleet: every count where that makes at most 64, else fewer large ones."""
    capacity: dict[str, int] = {}
    largest: dict[str, int] = {}
    for node in nodes:
        capacity[node.device_type] = capacity.get(node.device_type, 0) + node.devices
        largest[node.device_type] = max(largest.get(node.device_type, 0), node.devices)
    kinds = tuple(sorted(capacity))
    each = MOST_SIZES // max(len(kinds), 1)
    counts = {kind: list(range(1, capacity[kind] + 1)) for kind in kinds}
    if sum(len(found) for found in counts.values()) > MOST_SIZES:
        counts = {kind: _thinned(capacity[kind], largest[kind], each) for kind in kinds}
    return Sizes(
        kinds=kinds,
        capacity=tuple(capacity[kind] for kind in kinds),
        per_node=tuple(largest[kind] for kind in kinds),
        kind_C=np.array([at for at, kind in enumerate(kinds) for _ in counts[kind]]),
        devices_C=np.array([count for kind in kinds for count in counts[kind]]),
    )


def _thinned(capacity: int, per_node: int, most: int) -> list[int]:
    """All counts of a node, then whole nodes, ever further apart."""
    found = list(range(1, min(per_node, capacity) + 1))
    nodes = 2
    while nodes * per_node <= capacity and len(found) < most:
        found.append(nodes * per_node)
        nodes += max(1, nodes // 4)
    return found
