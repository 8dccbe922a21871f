"""The model of one rank: FSDP2 or HSDP over the mesh, its shards, and their first values."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan
from irongrid.train.model import Transformer

# Below this size a rank keeps whole parameters between forward and backward, and whole gradients
# between micro-batches: 12 bytes per parameter of memory save gathers and reductions.
KEEP_WHOLE_PARAMETERS = 200_000_000
# GPT-2's values (Radford et al., "Language models are unsupervised multitask learners", 2019):
# one width for all matrices, and less for those that write to the residual stream.
INIT_STD = 0.02
_RESIDUAL = ("attention.wo.weight", "feed_forward.w_down.weight")
# Rows that share one random stream, so that a rank draws only the rows that it holds.
_ROWS_PER_STREAM = 1024


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows of one parameter that this rank keeps, its optimizer state with them.

    Attributes:
        shape: of the whole parameter.
        parameter: as the module sees it, which carries the gradient.
        rows: this rank's part, sharing memory with the parameter.
    """

    name: str
    shape: tuple[int, ...]
    first_row: int
    parameter: nn.Parameter
    rows: Tensor

    def gradient(self) -> Tensor:
        """The gradient of these rows."""
        gradient = self.parameter.grad
        assert gradient is not None, f"{self.name} took no part in the loss"
        return gradient.to_local() if isinstance(gradient, DTensor) else gradient


@dataclass(frozen=True, slots=True)
class ShardedModel:
    """A module and the shards behind it, in the order of their names in the module."""

    module: nn.Module
    shards: tuple[Shard, ...]
    keeps_whole: bool

    def before_micro_step(self, last: bool) -> None:
        """Reduce gradients only once per optimizer step where memory allows it."""
        if isinstance(self.module, FSDPModule) and self.keeps_whole:
            self.module.set_requires_gradient_sync(last)
            self.module.set_reshard_after_backward(last)

    def gradients(self) -> list[Tensor]:
        """This rank's part of each gradient; parts without rows are left out."""
        with torch.no_grad():
            return [shard.gradient() for shard in self.shards if shard.rows.numel()]

    def drop_gradients(self) -> None:
        """Free the gradients; the next backward pass makes new ones."""
        for shard in self.shards:
            shard.parameter.grad = None


def build(
    shape: ModelShape, plan: ParallelPlan, mesh: DeviceMesh | None, device: torch.device
) -> ShardedModel:
    """The model with room for its weights, which are still unset."""
    with torch.device("meta"):
        module = Transformer(shape)
    keeps_whole = shape.parameters <= KEEP_WHOLE_PARAMETERS
    if mesh is not None:
        _shard(module, plan, mesh, keeps_whole)
    module.to_empty(device=device)
    shards = tuple(_shard_of(name, p, plan, mesh) for name, p in module.named_parameters())
    return ShardedModel(module, shards, keeps_whole)


def fill(shards: Sequence[Shard], layers: int, seed: int) -> None:
    """First values, decided by seed and name alone: the same for any number of ranks."""
    for shard in shards:
        if len(shard.shape) == 1:
            shard.rows.fill_(1.0)
            continue
        residual = shard.name.endswith(_RESIDUAL)
        std = INIT_STD / math.sqrt(2 * layers) if residual else INIT_STD
        end = shard.first_row + shard.rows.shape[0]
        first_stream = shard.first_row - shard.first_row % _ROWS_PER_STREAM
        for stream_row in range(first_stream, end, _ROWS_PER_STREAM):
            _fill_stream(shard, stream_row, end, std, seed)


def _fill_stream(shard: Shard, stream_row: int, end: int, std: float, seed: int) -> None:
    """Draw one stream's rows and keep those that this rank holds."""
    digest = hashlib.sha256(f"{seed}/{shard.name}/{stream_row}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    stream_end = min(stream_row + _ROWS_PER_STREAM, shard.shape[0])
    drawn = torch.empty(stream_end - stream_row, *shard.shape[1:]).normal_(
        std=std, generator=generator
    )
    first, last = max(stream_row, shard.first_row), min(stream_end, end)
    target = shard.rows[first - shard.first_row : last - shard.first_row]
    target.copy_(drawn[first - stream_row : last - stream_row])


def _shard(module: Transformer, plan: ParallelPlan, mesh: DeviceMesh, keeps_whole: bool) -> None:
    half = plan.precision == "bf16"
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if half else None,
        reduce_dtype=torch.float32 if half else None,
    )
    # Blocks first: each becomes a unit of communication; the root takes what is left.
    for part in (*module.layers, module):
        fully_shard(part, mesh=mesh, mp_policy=policy, reshard_after_forward=not keeps_whole)


def _shard_of(
    name: str, parameter: nn.Parameter, plan: ParallelPlan, mesh: DeviceMesh | None
) -> Shard:
    if mesh is None:
        return Shard(name, tuple(parameter.shape), 0, parameter, parameter.detach())
    assert isinstance(parameter, DTensor)
    with torch.no_grad():
        rows = parameter.to_local()
    # FSDP2 splits dim 0 as torch.chunk does: equal parts, the last ones short or empty.
    per_rank = -(-parameter.shape[0] // plan.dp_shard)
    first_row = min(mesh["dp_shard"].get_local_rank() * per_rank, parameter.shape[0])
    return Shard(name, tuple(parameter.shape), first_row, parameter, rows)
