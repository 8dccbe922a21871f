"""Loading: the newest checkpoint that proves sound, onto any number of ranks."""

import math
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from pathlib import Path

import torch

from irongrid.errors import CheckpointDamaged
from irongrid.train.checkpoint.chunks import ChunkStore
from irongrid.train.checkpoint.layout import (
    Chunk,
    Manifest,
    Piece,
    Place,
    ShardIndex,
    complete_places,
    read_indexes,
    read_manifest,
)
from irongrid.train.checkpoint.state import StateTensor, dtype_name
from irongrid.train.gang import Gang

# Chunks that one rank holds in memory at a time while loading: 64 MiB, or two of each saved shard,
# as the rows of one tensor may lie in all of them.
_CHUNKS_AT_ONCE = 16
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Damage:
    """A checkpoint that could not be used."""

    place: Place
    problem: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What a gang goes on from.

    Attributes:
        manifest: of the checkpoint that was loaded; None for a fresh start.
        damaged: newer ones that had to be passed over.
    """

    manifest: Manifest | None
    damaged: tuple[Damage, ...]


class _CheckedChunks:
    """Chunks by hash, checked when they are read; the ones last used stay in memory."""

    def __init__(self, chunks: ChunkStore, at_once: int) -> None:
        self._chunks, self._at_once = chunks, at_once
        self._held: OrderedDict[str, bytes] = OrderedDict()

    def read(self, chunk: Chunk) -> bytes:
        """The bytes of a chunk.

        Raises:
            CheckpointDamaged
        """
        if chunk.sha256 not in self._held:
            self._held[chunk.sha256] = self._chunks.read(chunk)
            if len(self._held) > self._at_once:
                self._held.popitem(last=False)
        self._held.move_to_end(chunk.sha256)
        return self._held[chunk.sha256]


class ShardReader:
    """The stream of one saved shard."""

    def __init__(self, chunks: _CheckedChunks, index: ShardIndex) -> None:
        self._chunks, self._index = chunks, index
        self._ends = list(accumulate(chunk.size_bytes for chunk in index.chunks))

    def read(self, begin: int, end: int) -> bytearray:
        """Bytes of the stream.

        Raises:
            CheckpointDamaged
        """
        out = bytearray()
        number = bisect_right(self._ends, begin)
        while begin < end:
            if number >= len(self._ends):
                raise CheckpointDamaged(f"shard {self._index.rank}", "ends before its tensors")
            chunk = self._index.chunks[number]
            first = self._ends[number] - chunk.size_bytes
            out += memoryview(self._chunks.read(chunk))[begin - first : end - first]
            begin, number = self._ends[number], number + 1
        return out


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a part of a tensor was saved."""

    reader: ShardReader
    dtype: str
    shape: tuple[int, ...]
    piece: Piece


class SavedState:
    """All tensors of one checkpoint, wherever their pieces lie."""

    def __init__(self, root: Path, indexes: Sequence[ShardIndex]) -> None:
        at_once = max(_CHUNKS_AT_ONCE, 2 * len(indexes))
        chunks = _CheckedChunks(ChunkStore(root / "chunks"), at_once)
        self._sources: dict[str, list[_Source]] = {}
        for index in indexes:
            reader = ShardReader(chunks, index)
            for tensor in index.tensors:
                for piece in tensor.pieces:
                    source = _Source(reader, tensor.dtype, tensor.shape, piece)
                    self._sources.setdefault(tensor.name, []).append(source)

    def load(self, target: StateTensor) -> None:
        """Fill a box from every piece that overlaps it.

        Raises:
            CheckpointDamaged: a chunk is bad, or the pieces do not cover the box.
        """
        missing = target.part.numel()
        for source in self._sources.get(target.name, ()):
            if source.shape != target.shape or source.dtype != dtype_name(target.part.dtype):
                found = f"{source.dtype}{list(source.shape)}"
                raise CheckpointDamaged(target.name, f"is {found}, not {list(target.shape)}")
            missing -= _copy_overlap(source, target)
        if missing:
            raise CheckpointDamaged(target.name, f"lacks {missing} values")


def restore(root: Path, gang: Gang, state: Sequence[StateTensor], epoch: int) -> Restored:
    """Load the newest sound checkpoint, the same one on every rank.

    Rank 0 proposes and each rank checks what it reads. If one finds damage, all go on to the one
    before. Without any, the state is left in disorder and the caller fills it.
    """
    damaged: list[Damage] = []
    for attempt in count():
        proposal = _propose(root, epoch, damaged) if gang.leads else None
        word = gang.tell(f"restore/{attempt}", proposal)
        if word == _NONE:
            break
        place = Place(*(int(number) for number in word.split("/")))
        problem = _load(root, place, state)
        if gang.all_agree(not problem):
            return Restored(read_manifest(root, place), tuple(damaged))
        damaged.append(Damage(place, problem))
    return Restored(None, tuple(damaged))


def newest_sound(root: Path, epoch: int, damaged: list[Damage]) -> Place | None:
    """The newest checkpoint whose manifest and indexes are sound; adds those that are not."""
    passed = {damage.place for damage in damaged}
    for place in complete_places(root, epoch):
        if place not in passed:
            try:
                read_indexes(root, read_manifest(root, place))
            except CheckpointDamaged as error:
                damaged.append(Damage(place, str(error)))
            else:
                return place
    return None


def _propose(root: Path, epoch: int, damaged: list[Damage]) -> str:
    place = newest_sound(root, epoch, damaged)
    return _NONE if place is None else f"{place.epoch}/{place.step}"


def _load(root: Path, place: Place, state: Sequence[StateTensor]) -> str:
    """Load everything; the problem, if there is one."""
    try:
        saved = SavedState(root, read_indexes(root, read_manifest(root, place)))
        for target in state:
            saved.load(target)
    except CheckpointDamaged as error:
        return str(error)
    return ""


def _copy_overlap(source: _Source, target: StateTensor) -> int:
    """Copy what a saved piece and a box have in common; says how many values that is."""
    piece = source.piece
    low = [max(a, b) for a, b in zip(piece.offset, target.offset, strict=True)]
    ends = zip(piece.offset, piece.shape, target.offset, target.part.shape, strict=True)
    high = [min(a + n, b + m) for a, n, b, m in ends]
    if any(first >= last for first, last in zip(low, high, strict=True)):
        return 0
    row_bytes = math.prod(piece.shape[1:]) * target.part.itemsize
    first, last = low[0] - piece.offset[0], high[0] - piece.offset[0]
    raw = source.reader.read(piece.begin + first * row_bytes, piece.begin + last * row_bytes)
    rows = torch.frombuffer(raw, dtype=target.part.dtype).view(last - first, *piece.shape[1:])
    inside = zip(low[1:], high[1:], piece.offset[1:], strict=True)
    values = rows[(slice(None), *(slice(a - o, b - o) for a, b, o in inside))]
    into = zip(low, high, target.offset, strict=True)
    target.part[tuple(slice(a - o, b - o) for a, b, o in into)].copy_(values)
    return values.numel()
