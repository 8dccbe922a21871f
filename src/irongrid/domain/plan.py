"""A parallel plan: how a model is split over ranks (design 5)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelPlan:
    """One way to run one model on `world_size` ranks.

    Attributes:
        dp_replicate: groups that hold whole copies and all-reduce gradients (HSDP's outer axis).
        dp_shard: ranks over which FSDP shards parameters.
        micro_batch: samples per rank and forward pass.
        grad_accum: forward passes per optimizer step.
    """

    world_size: int
    dp_replicate: int
    dp_shard: int
    micro_batch: int
    grad_accum: int
    precision: str = "fp32"

    @property
    def global_batch(self) -> int:
        """Samples per optimizer step over all ranks."""
        return self.dp_replicate * self.dp_shard * self.micro_batch * self.grad_accum
