"""What a training run does with a model, as far as its cost goes."""

from dataclasses import dataclass

OPTIMIZERS = ("sgd", "adam", "adam8bit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One optimizer step's work.

    Attributes:
        global_batch: samples per optimizer step over all ranks.
        seq_len: tokens per sample, before context parallelism splits it.
        precision: of the matrix products, one of `plan.PRECISIONS`.
        optimizer: one of `OPTIMIZERS`.
        lora_rank: rank of the low-rank adapters; 0 trains every weight.
        frozen_share: share of the weights that is not trained, without adapters.
        runtime: the software that runs it, one of `runtime.RUNTIMES`; its behaviour sets the
            host's time per layer, what overlaps, and the plans that can run.
    """

    global_batch: int
    seq_len: int
    precision: str = "bf16"
    optimizer: str = "adam"
    lora_rank: int = 0
    frozen_share: float = 0.0
    runtime: str = "megatron"
