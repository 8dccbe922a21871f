"""A rank's state as named boxes of whole tensors: what is saved, and where loading puts it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irongrid.train.checkpoint.layout import Piece, TensorPieces
from irongrid.train.optimizer import Optimizer
from irongrid.train.sharded import Shard

# So that each tensor in the stream can be viewed in place, whatever its dtype.
_ALIGN_BYTES = 16
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True, slots=True)
class StateTensor:
    """This rank's box of one tensor.

    Attributes:
        shape: of the whole tensor.
        offset: where the box begins in it.
        part: the box; saving copies from it, loading copies into it.
    """

    name: str
    shape: tuple[int, ...]
    offset: tuple[int, ...]
    part: Tensor


def dtype_name(dtype: torch.dtype) -> str:
    """The word for a dtype in a shard index."""
    return _NAMES[dtype]


def state_of(shards: Sequence[Shard], optimizer: Optimizer | None) -> list[StateTensor]:
    """Weights under their own names, and both moments under the moment's name before it."""
    boxes = [_box(shard.name, shard, shard.rows) for shard in shards if shard.rows.numel()]
    if optimizer is not None:
        for moment, shard, values in optimizer.moments():
            boxes.append(_box(f"{moment}/{shard.name}", shard, values))
    return boxes


def _box(name: str, shard: Shard, part: Tensor) -> StateTensor:
    offset = (shard.first_row, *(0 for _ in shard.shape[1:]))
    return StateTensor(name, shard.shape, offset, part)


class Stage:
    """Host memory for one copy of a rank's state, taken and touched once and used again."""

    def __init__(self, state: Sequence[StateTensor]) -> None:
        self._sources = [box.part for box in state]
        begins = list(_begins(self._sources))
        size_bytes = begins[-1] + self._sources[-1].nbytes if state else 0
        pin = any(source.is_cuda for source in self._sources)
        self._buffer = torch.zeros(size_bytes, dtype=torch.uint8, pin_memory=pin)
        self._copies = [
            self._buffer[begin : begin + source.nbytes].view(source.dtype).view(source.shape)
            for begin, source in zip(begins, self._sources, strict=True)
        ]
        self.tensors = tuple(
            TensorPieces(
                name=box.name,
                dtype=dtype_name(box.part.dtype),
                shape=box.shape,
                pieces=(Piece(offset=box.offset, shape=tuple(box.part.shape), begin=begin),),
            )
            for box, begin in zip(state, begins, strict=True)
        )

    def copy(self) -> None:
        """Take the state as it is now; back when it may change again."""
        if self._copies:
            torch._foreach_copy_(self._copies, self._sources, non_blocking=True)
        if any(source.is_cuda for source in self._sources):
            torch.cuda.synchronize()

    def stream(self) -> memoryview:
        """The bytes of the last copy."""
        return self._buffer.numpy().data


def _begins(parts: Sequence[Tensor]) -> Iterator[int]:
    begin = 0
    for part in parts:
        yield begin
        begin += -(-part.nbytes // _ALIGN_BYTES) * _ALIGN_BYTES
