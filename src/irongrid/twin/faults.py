"""What breaks, when, and for how long: faults of nodes and of jobs, from a seed.

Nodes break whatever the policy does, so their faults are one stream that every policy meets alike:
a few nodes have most of them, they come in bursts, and few repairs take most of the time. Jobs also
fail by themselves, at a rate that has nothing to do with the number of their nodes.

Constants of the default model: `validation/fault_fit.py` reproduces those of nodes from the public
trace of 400 servers over 349 days (stepfun-ai/InfiniteHBD-Trace, SIGCOMM 2025), and that of spot
nodes.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

import numpy as np

from irongrid.domain.device import Node
from irongrid.domain.ids import NodeId
from irongrid.units import NS_PER_S

DAY_S, HOUR_S = 86_400.0, 3_600.0
_OUTAGES, _SPOT, _SLOW = range(3)


class FaultKind(StrEnum):
    """What happens to a node.

    NODE: it is gone at once. DEVICE: one device breaks; the node drains and is repaired. SPOT: the
    provider takes it back after a notice. STRAGGLER: it works, but slower.
    """

    NODE = "node"
    DEVICE = "device"
    SPOT = "spot"
    STRAGGLER = "straggler"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultModel:
    """Rates and shapes; the defaults are the sources' own figures.

    Attributes:
        per_node_day: faults of nodes and devices.
        concentration: shape of the gamma distribution of the nodes' own rates; the smaller, the
            fewer nodes have most faults.
        gap_cv: coefficient of variation of the time between two faults of the fleet; 1 is Poisson.
        repair_median_s, repair_mean_s: of a lognormal distribution.
        device_share: faults that leave the node's other devices at work (class GPU of the trace).
        job_per_h: failures of a running job by itself, whatever its size. From 7.9 h measured at
            1,024 GPUs where 128 nodes alone give 28.8 h (Kokolis et al., HPCA 2025, by way of
            reliability notes of 2026-11-21): 1/7.9 - 1/28.8.
        job_user_share: of those, the user's own errors, which are not retried.
        spot_per_node_h: how often a spot node is taken back: 167 times in 273 node-hours of the p3
            trace of Bamboo (NSDI 2023).
        spot_notice_s, spot_away_s: a provider's usual word (AWS gives 2 minutes), and our guess of
            how long until such a node is there again.
        slow_per_node_day, slow_from_s, slow_to_s: episodes of slow work, equally likely on the
            scale of logarithms: seconds to ten hours (Falcon, USENIX ATC 2025).
        slowdown: of a job with a slow node (1.34 on average, the same source).
    """

    per_node_day: float = 0.00418
    concentration: float = 0.926
    gap_cv: float = 1.756
    repair_median_s: float = 0.85 * DAY_S
    repair_mean_s: float = 5.535 * DAY_S
    device_share: float = 0.271
    job_per_h: float = 0.0919
    job_user_share: float = 0.0
    spot_per_node_h: float = 0.611
    spot_notice_s: float = 120.0
    spot_away_s: float = HOUR_S
    slow_per_node_day: float = 0.0
    slow_from_s: float = 10.0
    slow_to_s: float = 10 * HOUR_S
    slowdown: float = 1.34


NO_FAULTS = FaultModel(per_node_day=0.0, job_per_h=0.0, spot_per_node_h=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one node.

    Attributes:
        until_ns: when the node is as before.
        device: the one that breaks, for a DEVICE fault.
        notice_ns: between the word of a SPOT fault and the end of the node.
        slowdown: of work with a STRAGGLER.
    """

    at_ns: int
    until_ns: int
    kind: FaultKind
    node: NodeId
    device: int = 0
    notice_ns: int = 0
    slowdown: float = 1.0


def node_faults(
    model: FaultModel, nodes: Sequence[Node], spot: Sequence[NodeId], seed: int
) -> Iterator[Fault]:
    """All faults of a fleet in order of time, without end unless no rate is above zero.

    Args:
        spot: the nodes that a provider may take back.
    """
    streams = [
        _outages(model, nodes, np.random.default_rng([seed, _OUTAGES])),
        _taken_back(model, spot, np.random.default_rng([seed, _SPOT])),
        _slow(model, nodes, np.random.default_rng([seed, _SLOW])),
    ]
    return heapq.merge(*streams, key=lambda fault: (fault.at_ns, fault.node))


def weights(nodes: int, concentration: float, draw: np.random.Generator) -> np.ndarray:
    """Each node's share of all faults."""
    rates = draw.gamma(concentration, size=nodes)
    return np.asarray(rates / rates.sum())


def gap_s(mean_s: float, cv: float, draw: np.random.Generator) -> float:
    """Time to the next fault: hyperexponential of two phases with balanced means, for `cv` >= 1.

    Source: Whitt, "Approximating a point process by a renewal process", Operations Research 30(1),
    1982, section 3.
    """
    squared = cv * cv
    short = (1 + math.sqrt((squared - 1) / (squared + 1))) / 2
    share = short if draw.random() < short else 1 - short
    return float(draw.exponential(mean_s / (2 * share)))


def repair_s(model: FaultModel, draw: np.random.Generator) -> float:
    """How long a broken node is out."""
    sigma = math.sqrt(2 * math.log(model.repair_mean_s / model.repair_median_s))
    return float(draw.lognormal(math.log(model.repair_median_s), sigma))


def _outages(
    model: FaultModel, nodes: Sequence[Node], draw: np.random.Generator
) -> Iterator[Fault]:
    if not model.per_node_day or not nodes:
        return
    shares = np.cumsum(weights(len(nodes), model.concentration, draw))
    mean_s = DAY_S / (model.per_node_day * len(nodes))
    out_until_s: dict[NodeId, float] = {}
    at_s = 0.0
    while True:
        at_s += gap_s(mean_s, model.gap_cv, draw)
        node = nodes[min(int(np.searchsorted(shares, draw.random())), len(nodes) - 1)]
        lasts_s = repair_s(model, draw)
        device = draw.random() < model.device_share
        index = int(draw.integers(node.devices))
        if out_until_s.get(node.id, 0.0) > at_s:
            continue  # What is out already cannot break.
        out_until_s[node.id] = at_s + lasts_s
        kind = FaultKind.DEVICE if device else FaultKind.NODE
        yield _fault(at_s, lasts_s, kind, node.id, index)


def _taken_back(
    model: FaultModel, spot: Sequence[NodeId], draw: np.random.Generator
) -> Iterator[Fault]:
    if not model.spot_per_node_h or not spot:
        return
    away_until_s: dict[NodeId, float] = {}
    at_s = 0.0
    while True:
        at_s += float(draw.exponential(HOUR_S / (model.spot_per_node_h * len(spot))))
        node = spot[int(draw.integers(len(spot)))]
        lasts_s = model.spot_notice_s + float(draw.exponential(model.spot_away_s))
        if away_until_s.get(node, 0.0) <= at_s:
            away_until_s[node] = at_s + lasts_s
            fault = _fault(at_s, lasts_s, FaultKind.SPOT, node)
            yield replace(fault, notice_ns=round(model.spot_notice_s * NS_PER_S))


def _slow(model: FaultModel, nodes: Sequence[Node], draw: np.random.Generator) -> Iterator[Fault]:
    if not model.slow_per_node_day or not nodes:
        return
    at_s = 0.0
    while True:
        at_s += float(draw.exponential(DAY_S / (model.slow_per_node_day * len(nodes))))
        node = nodes[int(draw.integers(len(nodes)))].id
        lasts_s = math.exp(draw.uniform(math.log(model.slow_from_s), math.log(model.slow_to_s)))
        fault = _fault(at_s, lasts_s, FaultKind.STRAGGLER, node)
        yield replace(fault, slowdown=model.slowdown)


def _fault(at_s: float, lasts_s: float, kind: FaultKind, node: NodeId, device: int = 0) -> Fault:
    at_ns = round(at_s * NS_PER_S)
    until_ns = at_ns + max(round(lasts_s * NS_PER_S), 1)
    return Fault(at_ns=at_ns, until_ns=until_ns, kind=kind, node=node, device=device)


class JobFailures:
    """When jobs fail by themselves: after exponential stretches of work, drawn by job and number.

    So a job meets the same failures wherever and whenever a policy lets it run.
    """

    def __init__(self, model: FaultModel, seed: int) -> None:
        self._per_h = model.job_per_h
        self._user_share = model.job_user_share
        self._seed = seed

    def after_ns(self, key: str, number: int) -> tuple[int, bool] | None:
        """Work from the failure before to failure `number`, and whether it is the user's own.

        Returns:
            None if jobs never fail by themselves.
        """
        if not self._per_h:
            return None
        draw = Random(f"{self._seed}/{key}/{number}")  # noqa: S311
        after_ns = round(draw.expovariate(self._per_h / HOUR_S) * NS_PER_S)
        return max(after_ns, 1), draw.random() < self._user_share
