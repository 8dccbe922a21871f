"""How a task is cut over ranks: micro-batches, accumulation and the device mesh's sizes."""

from irongrid.domain.job import TrainTask
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.errors import Problem, SpecError

# Memory that one micro-batch may take. Larger ones no longer raise the speed: on a CPU 4, 8 and 16
# samples of 128 tokens ran at 9.0, 9.6 and 9.5 thousand tokens/s (llama-1m, one core of an EPYC).
ACTIVATION_BYTES = {"cpu": 2**30, "cuda": 16 * 2**30}


def plan_for(task: TrainTask, world_size: int, device: str) -> ParallelPlan:
    """The plan for this many ranks on `cpu` or `cuda`.

    Raises:
        SpecError: the batch or the replicas do not divide.
    """
    if world_size % task.dp_replicate:
        raise _refuse(
            "train.dp_replicate",
            f"{task.dp_replicate} copies do not divide {world_size} ranks",
            "Use a divisor of the number of ranks",
        )
    if task.global_batch % world_size:
        raise _refuse(
            "train.global_batch",
            f"{task.global_batch} samples do not divide by {world_size} ranks",
            f"Use a multiple of {world_size}",
        )
    precision = _precision(task.precision, device)
    rank_batch = task.global_batch // world_size
    micro_batch = task.micro_batch or _micro_batch(task, rank_batch, precision, device)
    if rank_batch % micro_batch:
        raise _refuse(
            "train.micro_batch",
            f"{micro_batch} does not divide the {rank_batch} samples of a rank",
            "Use a divisor of it, or leave the field out",
        )
    return ParallelPlan(
        world_size=world_size,
        dp_replicate=task.dp_replicate,
        dp_shard=world_size // task.dp_replicate,
        micro_batch=micro_batch,
        grad_accum=rank_batch // micro_batch,
        precision=precision,
    )


def activation_bytes_per_token(model: ModelShape, precision: str) -> int:
    """Memory that the backward pass of one token needs, without recomputation.

    34 bytes per layer and hidden unit at 16 bits, the attention scores left out as they are never
    stored: arXiv:2205.05198, section 4.1. Three fp32 copies of the logits come on top.
    """
    width_factor = 1 if precision == "bf16" else 2
    return model.layers * 34 * model.hidden * width_factor + 3 * 4 * model.vocab


def _micro_batch(task: TrainTask, rank_batch: int, precision: str, device: str) -> int:
    sample_bytes = task.seq_len * activation_bytes_per_token(task.model, precision)
    limit = max(1, ACTIVATION_BYTES[device] // sample_bytes)
    return max(size for size in range(1, min(rank_batch, limit) + 1) if rank_batch % size == 0)


def _precision(asked: str, device: str) -> str:
    if asked == "auto":
        return "bf16" if device == "cuda" else "fp32"
    return asked


def _refuse(field: str, problem: str, fix: str) -> SpecError:
    return SpecError([Problem(field=field, problem=problem, fix=fix)])
