"""The communication matrix of a plan: who talks to whom, by which collective, how much per step.

Bytes are what one rank sends in one optimizer step. Sources of the counts: tensor parallelism with
or without sequence parallelism, Korthikanti et al., arXiv:2205.05198, section 4.2; ring attention,
Liu et al., arXiv:2310.01889; Ulysses, Jacobs et al., arXiv:2309.14509; ZeRO, Rajbhandari et al.,
arXiv:1910.02054, section 7; pipelines, Narayanan et al., arXiv:2104.04473, section 4.1.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.rank_map import pool_of_ranks, rings

ACTIVATION_BYTES = 2
WEIGHT_BYTES = 2
GRADIENT_BYTES = 4
# Forward, backward, and once more where the forward pass is repeated.
_PASSES = 2
# Rank pairs are listed up to this many; larger plans are described by their groups.
PAIRS_MAX = 2_000_000

# Senders, receivers and bytes.
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One kind of traffic.

    Attributes:
        axis: of the plan: tp, cp, ep, pp or dp; `sites` for what replicas at sites exchange.
        collective: all-reduce, all-gather, reduce-scatter, all-to-all, ring or send-receive.
        ranks: members of one group.
        groups: how many groups do the same at the same time.
        stride: ranks from one member to the next.
        bytes_per_rank: sent by each member in one step; of what is rarer, its share of a step. Of
            replicas in several pools, by a rank of the first one.
        calls: collectives of one group in one step.
        level: the innermost level of the network that holds a group; `wide` between sites.
        criticality: `blocking` where the next kernel waits for it, `overlapped` where compute can
            hide it, `background` where only the end of the step waits.
    """

    axis: str
    collective: str
    ranks: int
    groups: int
    stride: int
    bytes_per_rank: int
    calls: int
    level: str
    criticality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommunicationMatrix:
    """All traffic of a plan."""

    plan: ParallelPlan
    flows: tuple[Flow, ...]

    def bytes_by_axis(self) -> Mapping[str, float]:
        """Bytes that one rank sends per step, by axis."""
        found: dict[str, float] = {}
        for flow in self.flows:
            found[flow.axis] = found.get(flow.axis, 0.0) + flow.bytes_per_rank
        return found

    def pairs(self) -> Pairs:
        """Senders, receivers and bytes per step; empty where there are more than can be listed."""
        triples = [self._pairs_of(flow) for flow in self.flows]
        if sum(len(senders) for senders, _, _ in triples) > PAIRS_MAX or not triples:
            empty = np.zeros(0, dtype=np.int64)
            return empty, empty, np.zeros(0)
        columns = list(zip(*triples, strict=True))
        senders, receivers = (np.concatenate(column) for column in columns[:2])
        amounts = np.concatenate(columns[2])
        if self.plan.replicas:
            amounts = amounts * np.concatenate(self._shares(triples))
        key = senders * self.plan.world_size + receivers
        unique, where = np.unique(key, return_inverse=True)
        total = np.bincount(where, weights=amounts).astype(np.float64)
        return unique // self.plan.world_size, unique % self.plan.world_size, total

    def _shares(self, triples: Sequence[Pairs]) -> list[NDArray[np.float64]]:
        """What each sender sends, over what a rank of the first pool does.

        Traffic within a replica follows its samples; between replicas all send alike.
        """
        samples = np.array([part.samples for part in self.plan.replicas], dtype=np.float64)
        of_rank = (samples / samples[0])[pool_of_ranks(self.plan)]
        return [
            np.ones(len(senders)) if flow.axis == "dp" else of_rank[senders]
            for flow, (senders, _, _) in zip(self.flows, triples, strict=True)
        ]

    def _pairs_of(self, flow: Flow) -> Pairs:
        if flow.axis == "ep":
            groups = np.arange(self.plan.world_size, dtype=np.int64).reshape(-1, flow.ranks)
        else:
            groups = rings(self.plan, "dp" if flow.axis == "sites" else flow.axis)
        if flow.axis == "sites":
            # Equal ranks of all sites meet.
            by_site = groups.reshape(len(groups), flow.ranks, -1)
            groups = by_site.swapaxes(1, 2).reshape(-1, flow.ranks)
        elif flow.axis == "dp":
            # Neighbours share state; ranks that hold the same share are copies of each other.
            parts = groups.reshape(len(groups), self.plan.dp_replicate, self.plan.dp_shard)
            copies = flow.collective == "all-reduce"
            groups = (parts.swapaxes(1, 2) if copies else parts).reshape(-1, flow.ranks)
        size = groups.shape[1]
        if flow.collective == "all-to-all":
            if groups.shape[0] * size * size > PAIRS_MAX:
                size = 0
            senders = np.repeat(groups[:, :size], max(size - 1, 0), axis=1).ravel()
            others = [np.roll(groups, -shift, axis=1) for shift in range(1, size)]
            receivers = np.stack(others, axis=2).ravel() if others else senders
            share = flow.bytes_per_rank / max(size - 1, 1)
            return senders, receivers, np.full(len(senders), share)
        ahead = np.roll(groups, -1, axis=1)
        if flow.collective == "send-receive":
            one, other = groups[:, :-1].ravel(), ahead[:, :-1].ravel()
            half = np.full(2 * len(one), flow.bytes_per_rank / 2)
            return np.concatenate([one, other]), np.concatenate([other, one]), half
        return groups.ravel(), ahead.ravel(), np.full(groups.size, float(flow.bytes_per_rank))


def communication_matrix(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> CommunicationMatrix:
    """What the plan's ranks send each other in one step."""
    flows = [
        *_tensor(plan, model, training, pool),
        *_context(plan, model, training, pool),
        *_experts(plan, model, training, pool),
        *_pipeline(plan, model, training, pool),
        *_data(plan, model, training, pool),
    ]
    if plan.replicas:
        flows = [_over_pools(flow, plan, pool) for flow in flows]
    return CommunicationMatrix(plan=plan, flows=tuple(flows))


def _over_pools(flow: Flow, plan: ParallelPlan, pool: Pool) -> Flow:
    """The flow at the level that holds its groups, where replicas stand in several pools."""
    if flow.axis == "pp":
        # The stages of one replica are as far apart as its own pool holds replicas.
        stride = plan.replicas[0].count * plan.cp * plan.tp
        return replace(flow, level=level_of(pool, (plan.pp - 1) * stride + 1))
    shards_within = all(part.count % plan.dp_shard == 0 for part in plan.replicas)
    if flow.axis != "dp" or (shards_within and flow.collective != "all-reduce"):
        return flow
    return replace(flow, level="site")


def level_of(pool: Pool, span: int) -> str:
    """The innermost level of the network that holds `span` ranks in a row."""
    return next((level.name for level in pool.levels if level.devices >= span), "site")


def _tokens(plan: ParallelPlan, training: Training) -> int:
    """Tokens of one micro-batch on one context rank."""
    return plan.micro_batch * training.seq_len // plan.cp


def _blocks(plan: ParallelPlan, model: ModelShape) -> float:
    return model.layers / plan.pp


def _flow(
    plan: ParallelPlan, pool: Pool, axis: str, collective: str, ranks: int, stride: int,
    sent: float, calls: float, criticality: str,
) -> Flow:  # fmt: skip
    return Flow(
        axis=axis,
        collective=collective,
        ranks=ranks,
        groups=plan.world_size // ranks,
        stride=stride,
        bytes_per_rank=round(sent),
        calls=round(calls),
        level=level_of(pool, (ranks - 1) * stride + 1),
        criticality=criticality,
    )


def _tensor(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> Iterator[Flow]:
    """Two all-reduces of a micro-batch's activations in each pass through a block.

    With sequence parallelism each is a reduce-scatter and an all-gather, which move the same.
    """
    if plan.tp == 1:
        return
    passes = _PASSES + (plan.recompute == "full")
    calls = 2 * passes * _blocks(plan, model) * plan.grad_accum
    payload = _tokens(plan, training) * model.hidden * ACTIVATION_BYTES
    half = calls * payload * (plan.tp - 1) / plan.tp
    if not plan.sequence_parallel:
        yield _flow(plan, pool, "tp", "all-reduce", plan.tp, 1, 2 * half, calls, "blocking")
        return
    for collective in ("all-gather", "reduce-scatter"):
        yield _flow(plan, pool, "tp", collective, plan.tp, 1, half, calls, "blocking")


def _context(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> Iterator[Flow]:
    """Keys and values round a ring, and their gradients back; or heads against tokens."""
    if plan.cp == 1:
        return
    blocks = _blocks(plan, model) * plan.grad_accum
    tokens = _tokens(plan, training)
    if plan.context == "ring":
        pair = 2 * model.kv_heads * model.head // plan.tp * ACTIVATION_BYTES
        sent = blocks * (plan.cp - 1) * tokens * pair * (1 + _PASSES)
        calls = blocks * (plan.cp - 1) * _PASSES
        yield _flow(plan, pool, "cp", "ring", plan.cp, plan.tp, sent, calls, "overlapped")
        return
    width = model.head * (2 * model.heads + 2 * model.kv_heads) // plan.tp * ACTIVATION_BYTES
    sent = blocks * _PASSES * tokens * width * (plan.cp - 1) / plan.cp
    calls = blocks * _PASSES * 4
    yield _flow(plan, pool, "cp", "all-to-all", plan.cp, plan.tp, sent, calls, "blocking")


def _experts(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> Iterator[Flow]:
    """Tokens to their experts and back, in each pass."""
    if plan.ep == 1 or model.experts is None:
        return
    blocks = model.expert_layers / plan.pp * plan.grad_accum
    tokens = _tokens(plan, training) / plan.tp
    away = tokens * model.experts.top_k * (plan.ep - 1) / plan.ep
    passes = _PASSES + (plan.recompute == "full")
    sent = 2 * passes * blocks * away * model.hidden * ACTIVATION_BYTES
    calls = 2 * passes * blocks
    yield _flow(plan, pool, "ep", "all-to-all", plan.ep, 1, sent, calls, "blocking")


def _pipeline(
    plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool
) -> Iterator[Flow]:
    """A micro-batch's activations to the next stage and their gradients back, for each piece."""
    if plan.pp == 1:
        return
    split = plan.tp if plan.sequence_parallel else 1
    one = _tokens(plan, training) * model.hidden * ACTIVATION_BYTES / split
    calls = 2 * plan.grad_accum * plan.virtual_stages
    stride = plan.world_size // plan.pp
    yield _flow(plan, pool, "pp", "send-receive", plan.pp, stride, calls * one, calls, "blocking")


def _data(plan: ParallelPlan, model: ModelShape, training: Training, pool: Pool) -> Iterator[Flow]:
    """Gradients once a step, and weights where they are sharded."""
    if plan.dp == 1:
        return
    weights = local_weights(plan, model)
    trained = weights * (0.01 if training.lora_rank else 1 - training.frozen_share)
    stride, shard = plan.tp * plan.cp, plan.dp_shard
    part = (shard - 1) / shard
    if plan.zero in ("3", "fsdp") and shard > 1:
        # With a pipeline the weights stay gathered between micro-batches.
        times = 1 if plan.pp > 1 else plan.grad_accum
        gathered = 2 * times * weights * WEIGHT_BYTES * part
        yield _flow(plan, pool, "dp", "all-gather", shard, stride, gathered, 2 * times * _blocks(
            plan, model), "overlapped")  # fmt: skip
        scattered = times * trained * GRADIENT_BYTES * part
        yield _flow(plan, pool, "dp", "reduce-scatter", shard, stride, scattered, times * _blocks(
            plan, model), "overlapped")  # fmt: skip
    elif shard > 1:
        sent = trained * part
        yield _flow(plan, pool, "dp", "reduce-scatter", shard, stride, sent * GRADIENT_BYTES, 1,
                    "background")  # fmt: skip
        yield _flow(plan, pool, "dp", "all-gather", shard, stride, sent * WEIGHT_BYTES, 1,
                    "background")  # fmt: skip
    copies = plan.dp_replicate // plan.sites
    held = trained / (shard if plan.zero != "none" else 1)
    if copies > 1:
        sent = 2 * held * GRADIENT_BYTES * (copies - 1) / copies
        yield _flow(plan, pool, "dp", "all-reduce", copies, stride * shard, sent, 1, "background")
    if plan.sites > 1:
        # Every copy of a share could send it, so they share the link between them.
        sent = 2 * held * WEIGHT_BYTES * (plan.sites - 1) / plan.sites / copies / plan.sync_every
        between = _flow(plan, pool, "sites", "all-reduce", plan.sites, stride * shard * copies,
                        sent, 1, "overlapped")  # fmt: skip
        yield replace(between, level="wide")


def local_weights(plan: ParallelPlan, model: ModelShape) -> float:
    """Weights of one rank of a stage, before data parallelism shards them; ends shared evenly."""
    routed = 0
    if model.experts is not None:
        one = model.feed_forward_parameters(model.experts.ffn)
        routed = model.expert_layers * model.experts.count * one
    return ((model.parameters - routed) / plan.tp + routed / plan.ep) / plan.pp
