"""Generators for the usual networks: levels of a pool, from the inside out.

A level holds groups of the level below. Its rate is what one device can send inside it to another
such group; oversubscription says how much less the level carries when all devices send at once.
Levels that would hold one group only are left out, and the last level spans the pool.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from irongrid.domain.fleet import Level

Levels = tuple[Level, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A kind of link.

    Attributes:
        bytes_per_s: one direction, of one device.
        latency_s: of one hop.
    """

    name: str
    bytes_per_s: float
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A node, and the island that is a part of it, as large, or larger.

    Attributes:
        island_devices: devices that the scale-up link joins; 1 is none.
        island: the scale-up link; None where there is none.
        bus: between islands of one node.
    """

    node_devices: int
    island_devices: int
    island: Link | None
    bus: Link

    def levels(self) -> list[Level]:
        """Island and node, the smaller first."""
        found = []
        if self.island is not None and self.island_devices > 1:
            found.append(_level("island", self.island_devices, self.island))
        if self.node_devices > max(1, self.island_devices):
            found.append(_level("node", self.node_devices, self.bus))
        return found


def flat(inside: Inside, devices: int, link: Link, *, oversubscription: float = 1.0) -> Levels:
    """Every node on one switch, or on a network without structure that anybody knows."""
    return _spanning(inside.levels(), devices, _level("site", devices, link, oversubscription))


def leaf_spine(
    inside: Inside,
    devices: int,
    link: Link,
    *,
    nodes_per_leaf: int,
    oversubscription: float = 1.0,
) -> Levels:
    """Nodes under leaf switches, leaves under spines.

    With rails, equal NICs of a leaf's nodes share a switch: `nodes_per_leaf` is then the nodes of
    one rail group.

    Args:
        oversubscription: bandwidth into a leaf over bandwidth out of it.
    """
    below = [*inside.levels(), _level("rack", nodes_per_leaf * inside.node_devices, link)]
    return _spanning(below, devices, _level("site", devices, link, oversubscription))


def fat_tree(
    inside: Inside,
    devices: int,
    link: Link,
    *,
    nodes_per_leaf: int,
    leaves_per_pod: int,
    oversubscription: float = 1.0,
) -> Levels:
    """Three stages: leaves, pods of leaves, and a core that joins the pods.

    Args:
        oversubscription: bandwidth into a pod over bandwidth out of it.

    Source: Al-Fares et al., "A scalable, commodity data center network architecture", SIGCOMM 2008.
    """
    leaf = nodes_per_leaf * inside.node_devices
    below = [
        *inside.levels(),
        _level("rack", leaf, link),
        _level("block", leaf * leaves_per_pod, link),
    ]
    return _spanning(below, devices, _level("site", devices, link, oversubscription))


def torus(sides: tuple[int, ...], devices: int, ici: Link, link: Link) -> Levels:
    """A torus of devices, or several that a network joins.

    Args:
        ici: all links of one device together.
        link: between tori.
    """
    island = _level("island", prod(sides), ici)
    return _spanning([island], devices, _level("site", devices, link))


def torus_sides(devices: int, axes: int) -> tuple[int, ...]:
    """Sides as equal as their product allows, the longest last: 512 on three axes is 8 x 8 x 8."""
    sides: list[int] = []
    left = devices
    for axis in range(axes, 0, -1):
        # One above the root, as floats may put a whole one just below.
        most = min(left, round(left ** (1 / axis)) + 1)
        side = next(n for n in range(most, 0, -1) if left % n == 0 and n**axis <= left)
        sides.append(side)
        left //= side
    return tuple(sorted(sides))


def _level(name: str, devices: int, link: Link, oversubscription: float = 1.0) -> Level:
    return Level(
        name=name,
        devices=devices,
        bytes_per_s=link.bytes_per_s,
        latency_s=link.latency_s,
        oversubscription=oversubscription,
        link=link.name,
    )


def _spanning(below: Iterable[Level], devices: int, top: Level) -> Levels:
    """The levels that hold more than one group, each no larger than the pool."""
    kept: list[Level] = []
    for level in (*below, top):
        size = min(level.devices, devices)
        if size > (kept[-1].devices if kept else 1):
            kept.append(replace(level, devices=size))
    return tuple(kept) or (replace(top, devices=devices),)
