"""AdamW on a rank's own shards, clipping, and the learning rate over the run."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from irongrid.domain.job import TrainTask
from irongrid.train.sharded import Shard

# As in arXiv:2407.21783 and most language models before it.
BETAS = (0.9, 0.95)
EPSILON = 1e-8
# Share of the peak that is left at the end of the cosine.
FLOOR = 0.1
MOMENTS = ("exp_avg", "exp_avg_sq")


def learning_rate(task: TrainTask, step: int) -> float:
    """The rate of one step, counted from 1: linear warm-up, then a cosine to 10% of the peak."""
    if step <= task.warmup_steps:
        return task.learning_rate * step / task.warmup_steps
    span = max(1, task.steps - task.warmup_steps)
    done = min(1.0, (step - task.warmup_steps) / span)
    return task.learning_rate * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


class Optimizer:
    """Fused AdamW over plain local tensors, so that its state is named and cut like the weights.

    Norms' weights do not decay.
    """

    def __init__(self, shards: Sequence[Shard], weight_decay: float) -> None:
        self._shards = [shard for shard in shards if shard.rows.numel()]
        matrices = [shard.rows for shard in self._shards if len(shard.shape) > 1]
        vectors = [shard.rows for shard in self._shards if len(shard.shape) == 1]
        groups = [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._inner = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=0.0,
            betas=BETAS,
            eps=EPSILON,
            fused=True,
        )
        for shard in self._shards:
            state = {"step": torch.zeros((), device=shard.rows.device)}
            state.update({moment: torch.zeros_like(shard.rows) for moment in MOMENTS})
            self._inner.state[shard.rows] = state

    def reset(self) -> None:
        """Begin again, in place: checkpoints are staged from these very tensors."""
        for shard in self._shards:
            for values in self._inner.state[shard.rows].values():
                values.zero_()

    def set_step(self, step: int) -> None:
        """Go on as after `step` steps, with the moments that have been filled in."""
        for shard in self._shards:
            self._inner.state[shard.rows]["step"].fill_(float(step))

    def moments(self) -> list[tuple[str, Shard, Tensor]]:
        """Both moments of every shard, with the name of the moment."""
        return [
            (moment, shard, self._inner.state[shard.rows][moment])
            for moment in MOMENTS
            for shard in self._shards
        ]

    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Move the weights along these gradients."""
        for shard, gradient in zip(self._shards, gradients, strict=True):
            shard.rows.grad = gradient
        for group in self._inner.param_groups:
            group["lr"] = rate
        self._inner.step()
        for shard in self._shards:
            shard.rows.grad = None


def squared_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Sum of squares over this rank's gradients."""
    norms = torch._foreach_norm(list(gradients))
    return torch.stack(norms).double().square().sum()


def clip(gradients: Sequence[Tensor], norm: Tensor, limit: float) -> None:
    """Scale gradients in place so that their joint norm is at most `limit`; 0 is no limit."""
    if limit > 0:
        factor = (limit / (norm + 1e-6)).clamp(max=1.0).float()
        torch._foreach_mul_(list(gradients), factor)
