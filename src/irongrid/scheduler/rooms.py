"""Free capacity, indexed so that a gang finds its nodes without a look at the others.

Nodes stand by device type and by how many of their devices are free; a change moves one node from
one list to another. A policy tries placements out on the very same index and takes them back
(`trial`), so that a round copies nothing.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

from irongrid.domain.device import Node, NodeShare, Placement
from irongrid.domain.ids import NodeId
from irongrid.domain.job import WHOLE_MILLI, Resources
from irongrid.scheduler.columns import Columns
from irongrid.scheduler.free import Free


class _Kind:
    """The nodes of one device type: `by_free[n]` holds those with n free devices, by id."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.by_free: list[list[NodeId]] = [[] for _ in range(largest + 1)]


class Rooms:
    """Free devices, CPUs and memory of every node of one fleet.

    A closed node keeps its account of what is free, but nobody is placed there.

    Attributes:
        free_total: free devices of all open nodes; one of which somebody holds a part is not free.
        possible: needs that are known to fit the fleet when it is empty.
    """

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.free: dict[NodeId, Free] = {}
        self.total = sum(node.devices for node in self.nodes.values())
        self.free_total = self.total
        self._kinds: dict[str, _Kind] = {}
        self.possible: set[Resources] = set()
        self.closed: set[NodeId] = set()
        self._columns: Columns | None = None
        self._ever: dict[tuple[Resources, int], bool] = {}
        for kind in sorted({node.device_type for node in self.nodes.values()}):
            of_kind = [node for node in self.nodes.values() if node.device_type == kind]
            self._kinds[kind] = _Kind(max(node.devices for node in of_kind))
        for node in sorted(self.nodes.values(), key=lambda node: node.id):
            self.free[node.id] = Free(set(range(node.devices)), node.cpus, node.memory_bytes)
            self._kinds[node.device_type].by_free[node.devices].append(node.id)
        self.free = {node: self.free[node] for node in self.nodes}

    # ---- changes

    def take(self, placement: Placement, per: Resources) -> None:
        """Allocate a placement."""
        for share in placement.shares:
            self._move(share, per, -1)

    def release(self, placement: Placement, per: Resources) -> None:
        """Free a placement."""
        for share in placement.shares:
            self._move(share, per, +1)

    def _move(self, share: NodeShare, per: Resources, sign: int) -> None:
        known = self.nodes.get(share.node)
        if known is None:
            return  # The node has left the fleet while the attempt ran.
        free, ranks = self.free[share.node], len(share.devices)
        before = len(free.devices)
        if per.device_milli != WHOLE_MILLI:
            for device in share.devices:
                if device < known.devices:
                    free.hold(device, -sign * per.device_milli)
        elif sign < 0:
            free.devices = free.devices.difference(share.devices)
        elif max(share.devices, default=0) < known.devices:
            free.devices = free.devices.union(share.devices)
        else:  # The node has come back smaller.
            present = {device for device in share.devices if device < known.devices}
            free.devices = free.devices | present
        if per.cpus:
            # Rounded, as decimal fractions of a CPU would drift over many jobs.
            free.cpus = round(free.cpus + sign * ranks * per.cpus, 6)
        if per.memory_bytes:
            free.memory_bytes += sign * ranks * per.memory_bytes
        after = len(free.devices)
        if after != before and share.node not in self.closed:
            self.free_total += after - before
            by_free = self._kinds[known.device_type].by_free
            old = by_free[before]
            del old[bisect_left(old, share.node)]
            insort(by_free[after], share.node)
        if self._columns is not None:
            self._columns.note(share.node, free)

    def close(self, node: NodeId) -> None:
        """Place nobody on a node any more; what is there stays."""
        self.closed.add(node)
        free = len(self.free[node].devices)
        self.free_total -= free
        line = self._kinds[self.nodes[node].device_type].by_free[free]
        del line[bisect_left(line, node)]
        if self._columns is not None:
            self._columns.close(node)

    def open(self, node: NodeId) -> None:
        """Place work on a closed node again."""
        self.closed.remove(node)
        free = len(self.free[node].devices)
        self.free_total += free
        insort(self._kinds[self.nodes[node].device_type].by_free[free], node)
        if self._columns is not None:
            self._columns.open(node, self.free[node])

    def columns(self) -> Columns:
        """All of it as arrays, from now on kept up as well, for policies that weigh every node."""
        if self._columns is None:
            self._columns = Columns(self.nodes.values())
            for node, free in self.free.items():
                self._columns.note(node, free)
            for node in sorted(self.closed):
                self._columns.close(node)
        return self._columns

    @property
    def held_total(self) -> int:
        """Devices of which somebody holds at least a part."""
        idle = sum(len(self.free[node].devices) for node in self.closed)
        return self.total - self.free_total - idle

    def trial(self) -> "Trial":
        """Placements to be thought through, in a `with`: all comes back at its end."""
        return Trial(self)

    # ---- questions

    def consolidated(self, per: Resources, ranks: int) -> Placement | None:
        """The tightest place that keeps a gang together, or None.

        A gang that fits a node gets one node: the one with the fewest free devices that suffices.
        A larger gang gets whole nodes of the largest kind, and the tightest one for what is left.
        Ties go to the lower node id, so equal input gives equal output.
        """
        for kind in self.kinds_for(per):
            found = self._consolidated_on(kind, per, ranks)
            if found is not None:
                return found
        return None

    def kinds_for(self, per: Resources) -> "list[_Kind]":
        """The kinds of nodes that a need may use."""
        if per.accelerator == "any":
            return list(self._kinds.values())
        return [kind for name, kind in self._kinds.items() if per.allows(name)]

    def _consolidated_on(self, kind: _Kind, per: Resources, ranks: int) -> Placement | None:
        whole, rest = divmod(ranks, kind.largest) if ranks > kind.largest else (0, ranks)
        taken: list[NodeId] = []
        if whole:
            for node in kind.by_free[kind.largest]:
                if len(taken) == whole:
                    break
                if self._bears(node, per, kind.largest):
                    taken.append(node)
            if len(taken) < whole:
                return None
        shares = [self._share(node, kind.largest) for node in taken]
        if rest:
            node_id = self._tightest(kind, per, rest, taken)
            if node_id is None:
                return None
            shares.append(self._share(node_id, rest))
        if len(shares) > 1:
            shares.sort(key=lambda share: share.node)
        return Placement(shares=tuple(shares))

    def _tightest(
        self, kind: _Kind, per: Resources, ranks: int, without: list[NodeId]
    ) -> NodeId | None:
        for count in range(ranks, kind.largest + 1):
            for node in kind.by_free[count]:
                if self._bears(node, per, ranks) and node not in without:
                    return node
        return None

    def _bears(self, node: NodeId, per: Resources, ranks: int) -> bool:
        """Whether CPUs and memory suffice as well."""
        if not per.cpus and not per.memory_bytes:
            return True
        free = self.free[node]
        return (
            free.cpus + 1e-6 >= ranks * per.cpus and free.memory_bytes >= ranks * per.memory_bytes
        )

    def _share(self, node: NodeId, ranks: int) -> NodeShare:
        devices = sorted(self.free[node].devices)
        return NodeShare(node=node, devices=tuple(devices[:ranks]))

    def ever_fits(self, per: Resources, ranks: int) -> bool:
        """Whether the gang would fit, kept together, if nothing else ran."""
        known = self._ever.get((per, ranks))
        if known is None:
            known = self._ever[per, ranks] = self._ever_fits(per, ranks)
        return known

    def _ever_fits(self, per: Resources, ranks: int) -> bool:
        for device_type, kind in self._kinds.items():
            if not per.allows(device_type):
                continue
            whole, rest = divmod(ranks, kind.largest) if ranks > kind.largest else (0, ranks)
            big = rests = 0
            for node in self.nodes.values():
                if node.device_type != device_type or not self._could_bear(node, per, rest):
                    continue
                rests += 1
                big += node.devices == kind.largest and self._could_bear(node, per, kind.largest)
            if big >= whole and rests >= whole + bool(rest):
                return True
        return False

    @staticmethod
    def _could_bear(node: Node, per: Resources, ranks: int) -> bool:
        return (
            node.devices >= ranks
            and node.cpus + 1e-6 >= ranks * per.cpus
            and node.memory_bytes >= ranks * per.memory_bytes
        )


class Hope:
    """Whether a gang might fit once devices have come back: a cheap look before an exact one.

    It counts per node what came back on top of what is free, and moves nothing in the index. A
    `False` is certain; a `True` is to be tried.
    """

    def __init__(self, rooms: Rooms, per: Resources, ranks: int) -> None:
        kinds = rooms.kinds_for(per)
        largest = max((kind.largest for kind in kinds), default=0)
        self._rooms = rooms
        self._ranks = ranks
        self._back: dict[NodeId, int] = {}
        self._whole_wanted = ranks // largest if ranks > largest > 0 else 0
        self._whole = sum(len(kind.by_free[kind.largest]) for kind in kinds)
        self._some = False

    def back(self, placement: Placement) -> bool:
        """Devices come back; whether the gang might fit now."""
        for share in placement.shares:
            free = self._rooms.free.get(share.node)
            if free is None:
                continue  # The node has left the fleet while the attempt ran.
            count = self._back[share.node] = self._back.get(share.node, 0) + len(share.devices)
            there = count + len(free.devices)
            if self._whole_wanted:
                self._whole += there == self._rooms.nodes[share.node].devices
            elif there >= self._ranks:
                self._some = True
        return self._some or 0 < self._whole_wanted <= self._whole


class Trial:
    """Takes and releases on an index, noted so that they can be undone."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self._done: list[tuple[int, Placement, Resources]] = []

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, *error: object) -> None:
        self.undo()

    def take(self, placement: Placement, per: Resources) -> None:
        """Suppose that this was allocated."""
        self.rooms.take(placement, per)
        self._done.append((-1, placement, per))

    def release(self, placement: Placement, per: Resources) -> None:
        """Suppose that this came back."""
        self.rooms.release(placement, per)
        self._done.append((+1, placement, per))

    def mark(self) -> int:
        """A point to go back to."""
        return len(self._done)

    def undo(self, to: int = 0) -> None:
        """Take back everything since a mark, newest first."""
        while len(self._done) > to:
            sign, placement, per = self._done.pop()
            if sign < 0:
                self.rooms.release(placement, per)
            else:
                self.rooms.take(placement, per)
