"""A parallel plan: how a model is split over ranks (design 5)."""

from dataclasses import dataclass

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

    @property
    def dp(self) -> int:
        """Data-parallel ranks."""
        return self.dp_replicate * self.dp_shard

    @property
    def global_batch(self) -> int:
        """Samples per optimizer step over all ranks."""
        return self.dp * self.micro_batch * self.grad_accum
