"""Advice on NCCL's environment: each variable with its reason, and what to leave alone.

Its manual files NCCL_ALGO and its kin under debugging, not to be kept in production, so we set
system configuration only; for the rest the file says what NCCL should choose by itself, which
NCCL_DEBUG=INFO NCCL_DEBUG_SUBSYS=TUNING shows.
Source: NCCL user guide, "Environment Variables", 2.31 (2026).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from irongrid.domain.fleet import Level, Pool
from irongrid.domain.plan import ParallelPlan
from irongrid.planner.exports.launch import nodes_of
from irongrid.planner.exports.refusals import AMD, NVIDIA

FILE = "nccl.env"
# NCCL's own constants of the Simple protocol, microseconds to seconds: one hop over the network of
# a ring, and of a tree. Source: src/graph/tuning.cc of NCCL 2.10 (2021-07).
RING_HOP_S = 9.6e-6
TREE_HOP_S = 50e-6
# A tree's payload goes up and down, at about nine tenths of a ring's rate. Same source.
TREE_RATE = 0.9
# Bytes of one gradient bucket that frameworks reduce at once: torch DDP's default, 25 MiB.
BUCKET_BYTES = 25 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One variable: set to `value`, or left alone where that is None."""

    variable: str
    value: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The ranks of one axis: so many, so far apart."""

    axis: str
    ranks: int
    stride: int

    @property
    def reach(self) -> int:
        """Devices from its first rank to its last, in the order of ranks."""
        return self.ranks * self.stride

    def nodes(self, per_node: int) -> int:
        """Nodes on which it has ranks."""
        return min(self.ranks, max(1, math.ceil(self.reach / per_node)))


def groups(plan: ParallelPlan) -> tuple[Group, ...]:
    """Groups of the axes, innermost first: neighbours in rank share matrices."""
    found = []
    stride = 1
    for axis, ranks in (("tp", plan.tp), ("cp", plan.cp), ("dp", plan.dp), ("pp", plan.pp)):
        found.append(Group(axis=axis, ranks=ranks, stride=stride))
        stride *= ranks
    # Experts are folded over the three inner axes.
    found.append(Group(axis="ep", ranks=plan.ep, stride=1))
    return tuple(group for group in found if group.ranks > 1)


def _level(pool: Pool, devices: int) -> Level:
    """The innermost level that holds so many devices."""
    return next((level for level in pool.levels if level.devices >= devices), pool.levels[-1])


def all_reduce_s(
    ranks: int, nodes: int, payload_bytes: int, bytes_per_s: float
) -> tuple[float, float]:
    """Seconds of one all-reduce over several nodes, by ring and by tree.

    Bounded by the network: rings take a hop per node twice, trees one per level twice.
    """
    wire_s = 2 * (ranks - 1) / ranks * payload_bytes / bytes_per_s
    ring_s = wire_s + 2 * (nodes - 1) * RING_HOP_S
    return ring_s, wire_s / TREE_RATE + 2 * math.log2(nodes) * TREE_HOP_S


def _rank_order(plan: ParallelPlan, pool: Pool) -> Iterator[Advice]:
    island = pool.levels[0].devices
    inner = next((group for group in groups(plan) if group.axis == "tp"), None)
    if inner is not None and inner.ranks <= island:
        reason = (
            f"tensor-parallel ranks are neighbours, {inner.ranks} to an island of {island}: their "
            "collectives stay on the scale-up links as long as nodes are numbered in order"
        )
    elif inner is not None:
        reason = (
            f"tensor-parallel groups of {inner.ranks} are larger than an island of {island} and "
            "cross the network in every layer; nodes of one group must be neighbours"
        )
    else:
        reason = (
            "ranks count node by node, so that rings enter and leave each node once; number "
            "nodes in the order of racks"
        )
    yield Advice(variable="rank order", value=None, reason=reason)
    if island > pool.devices_per_node:
        yield Advice(
            variable="node order",
            value=None,
            reason=f"{island // pool.devices_per_node} nodes share one island of links: give "
            "them consecutive NODE_RANKs, or rings leave the island more often than they must",
        )


def _algorithm(plan: ParallelPlan, pool: Pool) -> Iterator[Advice]:
    replicas = plan.dp if plan.zero == "none" else plan.dp_replicate
    data = next((group for group in groups(plan) if group.axis == "dp"), None)
    if data is None:
        return
    if replicas == 1:
        yield Advice(
            variable="NCCL_ALGO",
            value=None,
            reason="leave it unset: gradients are reduce-scattered and weights all-gathered; over "
            "several nodes NCCL has rings for both (PAT for one rank a node): nothing to choose",
        )
        return
    nodes = data.nodes(pool.devices_per_node)
    if nodes == 1:
        yield Advice(
            variable="NCCL_ALGO",
            value=None,
            reason="leave it unset: gradients stay inside a node, where ring or NVLS wins at every "
            "size",
        )
        return
    level = _level(pool, data.reach)
    rate = level.bytes_per_s / level.oversubscription
    ring_s, tree_s = all_reduce_s(replicas, min(nodes, replicas), BUCKET_BYTES, rate)
    winner = "ring" if ring_s <= tree_s else "tree"
    yield Advice(
        variable="NCCL_ALGO",
        value=None,
        reason=f"leave it unset: for a bucket of 25 MiB over {min(nodes, replicas)} nodes at "
        f"{rate / 1e9:.3g} GB/s we estimate {ring_s * 1e3:.2g} ms by ring and "
        f"{tree_s * 1e3:.2g} ms by tree, so expect {winner}; where NCCL_DEBUG_SUBSYS=TUNING shows "
        f"the other, measure with NCCL_ALGO=allreduce:{winner} (2.24 or newer)",
    )


def _network(plan: ParallelPlan, pool: Pool) -> Iterator[Advice]:
    outer = [level for level in pool.levels if level.devices > pool.devices_per_node]
    if not outer:
        return
    if pool.rails > 1:
        yield Advice(
            variable="NCCL_CROSS_NIC",
            value="0",
            reason=f"{pool.rails} rails: a ring keeps to one NIC of every node, so traffic stays "
            "under its rail's switch and off the spine",
        )
    spine = max((level for level in outer), key=lambda level: level.devices)
    if spine.link == "ethernet" and len(outer) > 1:
        yield Advice(
            variable="NCCL_IB_QPS_PER_CONNECTION",
            value="4",
            reason=f"{len(outer)} tiers of Ethernet switches spread flows by hash: one queue pair "
            "per connection gives the hash too little to spread",
        )


def _channels(plan: ParallelPlan, pool: Pool) -> Iterator[Advice]:
    crossing = [
        group
        for group in groups(plan)
        if group.axis in ("pp", "ep") and group.nodes(pool.devices_per_node) > 1
    ]
    if crossing and pool.accelerator.host == "grace":
        axes = " and ".join(group.axis for group in crossing)
        yield Advice(
            variable="NCCL_NCHANNELS_PER_NET_PEER",
            value="4",
            reason=f"{axes} send point to point between nodes; on Grace hosts one channel per "
            "peer does not fill the NIC (NVIDIA/nccl issue 1272, 2024-04)",
        )
        return
    yield Advice(
        variable="NCCL_MIN_CTAS, NCCL_MAX_CTAS",
        value=None,
        reason="leave them unset: channels take multiprocessors from the products that they "
        "overlap with, and NCCL takes only as many as fill the links; raise the minimum only for "
        "a collective that is exposed and below the link's rate in nccl-tests",
    )


def advice(plan: ParallelPlan, pool: Pool) -> tuple[Advice, ...]:
    """All that applies to this plan on this pool; nothing for one rank or where NCCL is absent."""
    if plan.world_size == 1 or pool.accelerator.generation not in NVIDIA | AMD:
        return ()
    found = [*_rank_order(plan, pool), *_algorithm(plan, pool), *_channels(plan, pool)]
    if nodes_of(plan, pool) > 1:
        found += _network(plan, pool)
    return tuple(found)


def environment(plan: ParallelPlan, pool: Pool) -> str:
    """A file of variables for a shell, with the reasons as comments."""
    found = advice(plan, pool)
    if not found:
        return "# Nothing to set: no NCCL collective runs in this plan.\n"
    lines = ["# NCCL for this plan on this pool (RCCL reads the same names)."]
    for one in found:
        if one.value is None:
            lines.append(f"# {one.variable}: {one.reason}.")
        else:
            lines += [f"# {one.reason}.", f"{one.variable}={one.value}"]
    return "\n".join(lines) + "\n"
