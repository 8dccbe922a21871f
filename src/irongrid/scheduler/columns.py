"""Free capacity as arrays, for policies that weigh every node for every job.

One row per node, one column per device. It is derived from `Rooms` and kept up with it, so a policy
can keep what it worked out for all nodes and look again only at the rows that have changed.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from irongrid.domain.device import Node
from irongrid.domain.ids import NodeId
from irongrid.domain.job import WHOLE_MILLI, Resources
from irongrid.scheduler.free import Free

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# As in `Rooms`: decimal fractions of a CPU must fit although their sums are not exact.
_CPU_SLACK = 1e-6


class Columns:
    """What is free, by row of nodes, in the fleet's order.

    Attributes:
        milli_ND: thousandths that are free of each device; 0 where the node has no such device.
        cpus_N: free CPU cores. memory_N: free bytes of host memory.
        kind_N: the node's device type, as an index into `kinds`.
        largest, most_cpus: devices and CPU cores of the nodes that have the most of them.
        changed: rows in the order in which they changed, since ever.
        returned: how often a row may have gained capacity.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        fleet = tuple(nodes)
        self.nodes = tuple(node.id for node in fleet)
        self.kinds = tuple(sorted({node.device_type for node in fleet}))
        self.devices_N = np.array([node.devices for node in fleet], dtype=np.int64)
        self.largest = int(self.devices_N.max(initial=0))
        self.milli_ND = np.zeros((len(fleet), self.largest), dtype=np.int64)
        self.cpus_N = np.zeros(len(fleet))
        self.memory_N = np.zeros(len(fleet), dtype=np.int64)
        self.kind_N = np.array([self.kinds.index(node.device_type) for node in fleet], dtype=int)
        self.most_cpus = max((node.cpus for node in fleet), default=0.0) or 1.0
        self.open_N = np.ones(len(fleet), dtype=bool)
        self.changed: list[int] = []
        self.returned = 0
        self._row = {node: row for row, node in enumerate(self.nodes)}
        self._allowed: dict[str, Bools] = {}

    # ---- changes

    def note(self, node: NodeId, free: Free) -> None:
        """What is free on a node has changed."""
        row = self._row[node]
        milli_D = np.zeros(self.largest, dtype=np.int64)
        for device in free.devices:
            milli_D[device] = WHOLE_MILLI
        for device, milli in free.parts.items():
            milli_D[device] = milli
        self.returned += bool(
            free.cpus > self.cpus_N[row]
            or free.memory_bytes > self.memory_N[row]
            or (milli_D > self.milli_ND[row]).any()
        )
        self.milli_ND[row] = milli_D
        self.cpus_N[row], self.memory_N[row] = free.cpus, free.memory_bytes
        self.changed.append(row)

    def close(self, node: NodeId) -> None:
        """Nobody is placed on a node any more."""
        self.open_N[self._row[node]] = False
        self.changed.append(self._row[node])

    def open(self, node: NodeId, free: Free) -> None:
        """A closed node takes work again."""
        self.open_N[self._row[node]] = True
        self.returned += 1
        self.note(node, free)

    # ---- questions

    def fits(self, rows_R: Ints, need: Resources) -> Bools:
        """Whether a gang that needs one node fits there now, `[R, D]`.

        A gang of parts has one rank, and D is the device that it would share. A gang of whole
        devices, or without any, takes the first that there are: only column 0 can be true.
        """
        ranks, milli_RD = need.sizes[0], self.milli_ND[rows_R]
        node_R = (
            self.open_N[rows_R]
            & (self.cpus_N[rows_R] + _CPU_SLACK >= ranks * need.cpus)
            & (self.memory_N[rows_R] >= ranks * need.memory_bytes)
            & self.allowed(need)[self.kind_N[rows_R]]
        )
        if 0 < need.device_milli < WHOLE_MILLI:
            return np.asarray(node_R[:, None] & (milli_RD >= need.device_milli))
        fits_RD = np.zeros(milli_RD.shape, dtype=bool)
        if need.device_milli:
            fits_RD[:, 0] = node_R & ((milli_RD == WHOLE_MILLI).sum(axis=1) >= ranks)
        else:
            fits_RD[:, 0] = node_R & (self.devices_N[rows_R] >= ranks)
        return fits_RD

    def allowed(self, need: Resources) -> Bools:
        """Whether a gang may run on each of `kinds`."""
        known = self._allowed.get(need.accelerator)
        if known is None:
            known = np.array([need.allows(kind) for kind in self.kinds], dtype=bool)
            self._allowed[need.accelerator] = known
        return known
