"""Which device each rank gets.

On a tree of switches ranks go node by node with tensor parallelism innermost, so that the axis with
most traffic stays on the fastest links. On a torus there are no nodes to fill: each axis should be
a closed ring along sides of the torus, so the map snakes along the sides in the order that costs
the fewest byte-hops.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import prod

import numpy as np
from numpy.typing import NDArray

from irongrid.domain.fleet import Pool
from irongrid.domain.plan import ParallelPlan

# Innermost first. Source of the order: Megatron-LM, parallel_state.py, tp-cp-ep-dp-pp (2026-11).
AXES = ("tp", "cp", "dp", "pp")
# Hops between axes of one torus are compared by these where no bytes are given: what Megatron-like
# training sends per step falls by about an order of magnitude from one axis to the next.
_WEIGHTS: Mapping[str, float] = {"tp": 1000.0, "cp": 100.0, "dp": 10.0, "pp": 1.0}
# A torus of more devices is mapped by its first ones; the pattern repeats.
_SAMPLE = 2**15

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankMap:
    """Where ranks sit.

    Attributes:
        order: `node-major` or `torus`.
        device_of: device of each rank, counted node by node, or along the torus' sides with the
            last one fastest.
        coordinates: of each rank's device: (node, device in it), or a position on the torus.
        sides: the torus' sides; empty on a tree.
        byte_hops: sum over rings of weight and hops between neighbours; 0 on a tree.
    """

    order: str
    device_of: Indices
    coordinates: Indices
    sides: tuple[int, ...] = ()
    byte_hops: float = 0.0


def axis_sizes(plan: ParallelPlan) -> dict[str, int]:
    """Ranks along each axis, innermost first."""
    return {"tp": plan.tp, "cp": plan.cp, "dp": plan.dp, "pp": plan.pp}


def rings(plan: ParallelPlan, axis: str) -> Indices:
    """Ranks of each group along one axis: one row per group, in ring order."""
    sizes = axis_sizes(plan)
    # Row-major with the last axis fastest, so the innermost axis comes last.
    grid = np.arange(plan.world_size, dtype=np.int64).reshape(
        [sizes[name] for name in reversed(AXES)]
    )
    where = len(AXES) - 1 - AXES.index(axis)
    return np.moveaxis(grid, where, -1).reshape(-1, sizes[axis])


def rank_map(
    plan: ParallelPlan,
    pool: Pool,
    bytes_by_axis: Mapping[str, float] | None = None,
    *,
    beside: Sequence[Pool] = (),
) -> RankMap:
    """The device of each rank of a plan on its pool; of several sites, one after the other.

    Args:
        beside: the further pools of a plan whose stages or replicas lie in several.
    """
    if plan.sites > 1:
        one = replace(
            plan,
            world_size=plan.world_size // plan.sites,
            dp_replicate=plan.dp_replicate // plan.sites,
            sites=1,
        )
        return _at_every_site(plan, rank_map(one, pool, bytes_by_axis))
    if plan.stage_pools or plan.replicas:
        return _over_pools(plan, (pool, *beside))
    if not pool.torus or prod(pool.torus) < plan.world_size:
        ranks = np.arange(plan.world_size, dtype=np.int64)
        places = np.stack([ranks // pool.devices_per_node, ranks % pool.devices_per_node], axis=1)
        return RankMap(order="node-major", device_of=ranks, coordinates=places)
    weights = bytes_by_axis or _WEIGHTS
    best: tuple[float, tuple[int, ...], Indices] | None = None
    for sides in _side_orders(pool.torus):
        walk = _snake(sides)[: plan.world_size]
        hops = _byte_hops(plan, walk, sides, weights)
        if best is None or hops < best[0]:
            best = (hops, sides, walk)
    assert best is not None, "a torus has at least one side"
    hops, sides, walk = best
    strides = np.array([prod(sides[i + 1 :]) for i in range(len(sides))], dtype=np.int64)
    return RankMap(
        order="torus",
        device_of=walk @ strides,
        coordinates=walk,
        sides=sides,
        byte_hops=hops,
    )


def pool_of_ranks(plan: ParallelPlan) -> Indices:
    """Which of its pools each rank stands in, counted in the plan's order; 0 where there is one."""
    shape = (plan.pp, plan.dp, plan.cp * plan.tp)
    stages, copies = np.zeros(plan.pp, dtype=np.int64), np.zeros(plan.dp, dtype=np.int64)
    if plan.stage_pools:
        names = list(dict.fromkeys(plan.stage_pools))
        stages = np.array([names.index(name) for name in plan.stage_pools], dtype=np.int64)
    if plan.replicas:
        counts = [part.count for part in plan.replicas]
        copies = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return np.broadcast_to(stages[:, None, None] + copies[None, :, None], shape).ravel()


def _over_pools(plan: ParallelPlan, pools: Sequence[Pool]) -> RankMap:
    """Node by node in each pool; devices and nodes are counted on from pool to pool."""
    where = pool_of_ranks(plan)
    assert int(where.max()) < len(pools), "the plan has more pools than were given"
    device_of = np.empty(plan.world_size, dtype=np.int64)
    coordinates = np.empty((plan.world_size, 2), dtype=np.int64)
    devices = nodes = 0
    for number, pool in enumerate(pools):
        mine = np.flatnonzero(where == number)
        local, each = np.arange(len(mine), dtype=np.int64), pool.devices_per_node
        device_of[mine] = devices + local
        coordinates[mine] = np.stack([nodes + local // each, local % each], axis=1)
        devices, nodes = devices + pool.devices, nodes + pool.nodes
    return RankMap(order="node-major", device_of=device_of, coordinates=coordinates)


def _at_every_site(plan: ParallelPlan, one: RankMap) -> RankMap:
    """One site's map for each; devices and nodes are counted on from site to site."""
    shape = (plan.pp, plan.sites, plan.dp // plan.sites, plan.cp * plan.tp)
    ranks = np.arange(plan.world_size, dtype=np.int64).reshape(shape)
    by_site = ranks.swapaxes(0, 1).reshape(plan.sites, -1)
    device_of = np.empty(plan.world_size, dtype=np.int64)
    coordinates = np.empty((plan.world_size, one.coordinates.shape[1]), dtype=np.int64)
    further = int(one.coordinates[:, 0].max()) + 1
    for site, mine in enumerate(by_site):
        device_of[mine] = one.device_of + site * (int(one.device_of.max()) + 1)
        coordinates[mine] = one.coordinates
        coordinates[mine, 0] += site * further
    return replace(
        one, device_of=device_of, coordinates=coordinates, byte_hops=one.byte_hops * plan.sites
    )


def _side_orders(torus: tuple[int, ...]) -> list[tuple[int, ...]]:
    return sorted(set(permutations(side for side in torus if side > 1))) or [(1,)]


def _snake(sides: tuple[int, ...]) -> Indices:
    """Positions of a torus in an order in which neighbours in the walk are one hop apart."""
    walk = np.zeros((1, 0), dtype=np.int64)
    for side in reversed(sides):
        blocks = []
        for position in range(side):
            inner = walk if position % 2 == 0 else walk[::-1]
            blocks.append(np.insert(inner, 0, position, axis=1))
        walk = np.concatenate(blocks)
    return walk


def _byte_hops(
    plan: ParallelPlan, walk: Indices, sides: tuple[int, ...], weights: Mapping[str, float]
) -> float:
    total = 0.0
    lengths = np.array(sides, dtype=np.int64)
    for axis, size in axis_sizes(plan).items():
        if size == 1:
            continue
        groups = rings(plan, axis)[: max(_SAMPLE // size, 1)]
        ahead = np.roll(groups, -1, axis=1)
        apart = np.abs(walk[groups] - walk[ahead])
        hops = np.minimum(apart, lengths - apart).sum(axis=-1).max(axis=1)
        total += float(weights.get(axis, 0.0) * hops.mean())
    return total
