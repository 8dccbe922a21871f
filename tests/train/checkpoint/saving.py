"""Saving and loading in one process: writers of several ranks share a store in memory."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed import HashStore  # type: ignore[attr-defined]

from irongrid.domain.model import PRESETS
from irongrid.domain.plan import ParallelPlan
from irongrid.train.checkpoint.layout import Place
from irongrid.train.checkpoint.reader import Restored, restore
from irongrid.train.checkpoint.state import Stage, StateTensor
from irongrid.train.checkpoint.writer import CheckpointWriter, Identity, SaveFailed
from irongrid.train.config import Seat
from irongrid.train.gang import Gang

ROWS, WIDTH = 12, 5
ALONE = Gang(
    seat=Seat(
        rank=0,
        world_size=1,
        local_rank=0,
        local_world_size=1,
        master_addr="",
        master_port=0,
        store_is_served=False,
        threads=1,
    ),
    device=torch.device("cpu"),
    plan=ParallelPlan(world_size=1, dp_replicate=1, dp_shard=1, micro_batch=1, grad_accum=1),
    store=None,
    mesh=None,
)


def weights(seed: int, rows: int = ROWS) -> dict[str, Tensor]:
    """Two matrices and a vector."""
    chance = torch.Generator().manual_seed(seed)
    return {
        "layers.0.a.weight": torch.randn(rows, WIDTH, generator=chance),
        "layers.0.b.weight": torch.randn(rows, WIDTH, 2, generator=chance),
        "norm.weight": torch.randn(rows, generator=chance),
    }


def boxes(tensors: dict[str, Tensor], first: int, last: int) -> list[StateTensor]:
    """The rows [first, last) of each, sharing memory; a rank without rows has no boxes."""
    return [
        StateTensor(name, tuple(t.shape), (first, *[0] * (t.dim() - 1)), t[first:last])
        for name, t in tensors.items()
        if last > first
    ]


@dataclass
class Writers:
    """The writers of one gang, whose ranks hold the rows between the cuts."""

    root: Path
    state: dict[str, Tensor]
    cuts: tuple[int, ...] = (0, 7, ROWS)
    epoch: int = 1
    generation: int = 1
    keep: int = 2
    damaged: frozenset[Place] = frozenset()
    writers: list[CheckpointWriter] = field(init=False)

    def __post_init__(self) -> None:
        store = HashStore()
        ranks = range(len(self.cuts) - 1)
        self.writers = []
        for rank in ranks:
            stage = Stage(boxes(self.state, self.cuts[rank], self.cuts[rank + 1]))
            identity = self._identity(rank, ranks)
            self.writers.append(CheckpointWriter(self.root, identity, stage, lambda: store))

    def save(self, step: int) -> SaveFailed | None:
        """Save on all ranks and wait; rank 0's verdict."""
        for writer in self.writers:
            writer.save(step, running_s=float(step))
        for writer in self.writers:
            writer.wait()
        verdicts = [writer.ended()[-1].failed for writer in self.writers]
        return verdicts[0]

    def _identity(self, rank: int, ranks: range) -> Identity:
        return Identity(
            job="j000001",
            epoch=self.epoch,
            generation=self.generation,
            world_size=len(ranks),
            rank=rank,
            writers=ranks,
            model=PRESETS["llama-1m"],
            seq_len=8,
            data_key="data",
            parent=(),
            restarts=0,
            keep=self.keep,
            damaged=self.damaged,
        )


def loaded(root: Path, epoch: int = 9, rows: int = ROWS) -> tuple[Restored, dict[str, Tensor]]:
    """What a single rank of this epoch gets back."""
    state = {name: torch.full_like(t, torch.nan) for name, t in weights(0, rows).items()}
    return restore(root, ALONE, boxes(state, 0, rows), epoch), state


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """Whether both hold the same bits."""
    return all(torch.equal(left[name], right[name]) for name in left)
