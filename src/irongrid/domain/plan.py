"""A parallel plan: how a model is split over ranks (design 5)."""

from collections.abc import Iterator
from dataclasses import dataclass

from irongrid.errors import Problem, SpecError

SCHEDULES = ("1f1b", "interleaved", "zb-1p", "zb-2p", "zbv", "dualpipev")
ZERO = ("none", "1", "2", "3", "fsdp")
RECOMPUTE = ("none", "selective", "full")
OFFLOADS = ("none", "optimizer", "parameters", "activations")
OFFLOAD_TIERS = ("host", "nvme", "cxl")
CONTEXT_KINDS = ("ring", "ulysses")
COMPRESSIONS = ("none", "bf16", "int8", "int4", "powersgd", "topk")
RANK_MAPS = ("node-major", "torus")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """The data-parallel ranks that one pool holds, where several pools share the batch.

    Attributes:
        pool: of the fleet.
        count: data-parallel ranks, each of `pp x cp x tp` devices.
        micro_batch, grad_accum: of each of these ranks.
    """

    pool: str
    count: int
    micro_batch: int
    grad_accum: int

    @property
    def samples(self) -> int:
        """Samples of each of these ranks in one optimizer step."""
        return self.micro_batch * self.grad_accum


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelPlan:
    """One way to run one model on `world_size` ranks.

    `world_size = pp x dp_replicate x dp_shard x cp x tp`; `ep` is folded over dp x cp x tp.

    Attributes:
        dp_replicate: groups that hold whole copies and all-reduce gradients (HSDP's outer axis).
        dp_shard: ranks over which ZeRO or FSDP shards what `zero` names.
        micro_batch: samples per rank and forward pass.
        grad_accum: forward passes per optimizer step.
        pp: pipeline stages.
        cp: ranks that share a sequence.
        tp: ranks that share each matrix; with `sequence_parallel` also the norms' tokens.
        ep: ranks that share a layer's experts.
        virtual_stages: pieces of the model on each stage (interleaved, zbv and dualpipev: 2).
        stage_layers: blocks of each stage, first to last; empty is an even split.
        stage_pools: the fleet's pool of each stage; empty where there is one pool.
        replicas: the data-parallel ranks of each pool, in the order of ranks; empty where there is
            one pool. Gradients are averaged by samples. `micro_batch` and `grad_accum` are those
            of the first pool, which the others wait for.
        recompute_layers: blocks of each stage to which `recompute` applies; empty is all.
        offload: what leaves the device's memory; `parameters` takes the optimizer along.
        compression: how gradients travel between data-parallel ranks.
        sync_every: optimizer steps between two exchanges of sites (DiLoCo's H); 1 is every step.
        sites: sites over which `dp_replicate` spreads.
        runnable_by: the runtimes that can run it.
    """

    world_size: int
    dp_replicate: int
    dp_shard: int
    micro_batch: int
    grad_accum: int
    precision: str = "fp32"
    pp: int = 1
    cp: int = 1
    tp: int = 1
    ep: int = 1
    schedule: str = "1f1b"
    virtual_stages: int = 1
    stage_layers: tuple[int, ...] = ()
    stage_pools: tuple[str, ...] = ()
    replicas: tuple[Replicas, ...] = ()
    zero: str = "fsdp"
    recompute: str = "none"
    recompute_layers: tuple[int, ...] = ()
    offload: str = "none"
    offload_tier: str = "host"
    sequence_parallel: bool = True
    context: str = "ring"
    compression: str = "none"
    sync_every: int = 1
    sites: int = 1
    rank_map: str = "node-major"
    runnable_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = list(_problems_of_replicas(self)) if self.replicas else []
        if problems:
            raise SpecError(problems)

    @property
    def dp(self) -> int:
        """Data-parallel ranks."""
        return self.dp_replicate * self.dp_shard

    @property
    def global_batch(self) -> int:
        """Samples per optimizer step over all ranks."""
        if self.replicas:
            return sum(part.count * part.samples for part in self.replicas)
        return self.dp * self.micro_batch * self.grad_accum


def _problems_of_replicas(plan: ParallelPlan) -> Iterator[Problem]:
    """What does not fit together between a plan and its replicas."""
    if any(min(part.count, part.micro_batch, part.grad_accum) < 1 for part in plan.replicas):
        fix = "Give whole numbers above 0"
        yield Problem(field="replicas", problem="a count or a batch is below 1", fix=fix)
    count = sum(part.count for part in plan.replicas)
    if count != plan.dp:
        problem = f"their pools hold {count} data-parallel ranks, the plan has {plan.dp}"
        fix = "Let the counts add up to dp_replicate x dp_shard"
        yield Problem(field="replicas", problem=problem, fix=fix)
    first = plan.replicas[0]
    if (first.micro_batch, first.grad_accum) != (plan.micro_batch, plan.grad_accum):
        problem = (
            f"the first pool takes {first.micro_batch} x {first.grad_accum} samples, the plan says "
            f"{plan.micro_batch} x {plan.grad_accum}"
        )
        fix = "Give micro_batch and grad_accum of the first pool"
        yield Problem(field="replicas", problem=problem, fix=fix)
    if plan.stage_pools:
        fix = "Give stages a pool, or replicas, not both"
        yield Problem(field="replicas", problem="stages have pools of their own", fix=fix)
