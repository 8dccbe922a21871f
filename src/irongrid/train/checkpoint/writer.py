"""Saving beside training: a short copy at the step, then a thread that hashes, writes and commits.

Ranks tell each other the outcome through the generation's store, over connections of their own.
Rank 0 writes the manifest when every shard is durable; until then the checkpoint does not exist.
"""

import errno
import hashlib
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from torch.distributed.distributed_c10d import Store

from irongrid import session
from irongrid.domain.model import ModelShape
from irongrid.errors import CheckpointDamaged, IrongridError
from irongrid.train.checkpoint.chunks import CHUNK_BYTES, ChunkStore
from irongrid.train.checkpoint.layout import (
    MANIFEST,
    Manifest,
    Place,
    ShardFile,
    ShardIndex,
    TensorPieces,
    epoch_folder,
    epochs,
    read_indexes,
    read_manifest,
    sealed,
    shard_file,
)
from irongrid.train.checkpoint.retention import retain
from irongrid.train.checkpoint.state import Stage
from irongrid.train.files import sync_folder, write_atomically

_FULL = (errno.ENOSPC, errno.EDQUOT)
# The thread yields to training where both want a core.
_NICENESS = 10
_OK = "ok"


class SaveFailed(IrongridError):
    """A checkpoint was not written. Training may go on; older checkpoints stand.

    Attributes:
        code: `disk_full`, `io_error` or `fenced`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a checkpoint says about the run that wrote it."""

    job: str
    epoch: int
    generation: int
    world_size: int
    rank: int
    writers: range
    model: ModelShape
    seq_len: int
    data_key: str
    parent: tuple[int, ...]
    restarts: int
    keep: int
    damaged: frozenset[Place] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """How a save ended, for this rank.

    Attributes:
        write_s: from the start of the save to its end.
        failed: why it failed; None when it is durable.
    """

    step: int
    stall_s: float
    write_s: float
    failed: SaveFailed | None


@dataclass(frozen=True, slots=True)
class _Order:
    number: int
    step: int
    running_s: float
    staged_s: float
    stall_s: float


class CheckpointWriter:
    """One per rank. `save` returns after the copy; the rest happens in a thread."""

    def __init__(
        self,
        root: Path,
        identity: Identity,
        stage: Stage,
        connect: Callable[[], Store | None],
    ) -> None:
        self._root, self._identity, self._stage, self._connect = root, identity, stage, connect
        self._chunks = ChunkStore(root / "chunks")
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._saved: queue.SimpleQueue[Saved] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._count = 0
        self._damaged = set(identity.damaged)
        self._broken: BaseException | None = None
        self._store: Store | None = None
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether the last save is still being written."""
        return not self._idle.is_set()

    def save(self, step: int, running_s: float) -> float:
        """Copy the state as it is now and start writing it; says how long the copy took.

        All ranks must call it for the same steps. The last save must have ended.
        """
        assert not self.busy, "one save at a time"
        begin_s = time.monotonic()
        self._stage.copy()
        staged_s = time.monotonic()
        self._count += 1
        self._idle.clear()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="checkpoint", daemon=True)
            self._thread.start()
        stall_s = staged_s - begin_s
        self._orders.put(_Order(self._count, step, running_s, staged_s, stall_s))
        return stall_s

    def wait(self) -> None:
        """Until no save is under way."""
        self._idle.wait()
        self._raise_broken()

    def ended(self) -> list[Saved]:
        """Saves that ended since the last call."""
        self._raise_broken()
        out = []
        while not self._saved.empty():
            out.append(self._saved.get())
        return out

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _serve(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            self._store = self._connect()
            while True:
                order = self._orders.get()
                failed = self._write(order)
                self._saved.put(
                    Saved(
                        step=order.step,
                        stall_s=order.stall_s,
                        write_s=time.monotonic() - order.staged_s,
                        failed=failed,
                    )
                )
                self._idle.set()
        except BaseException as error:  # The training thread raises it at its next look.
            self._broken = error
            self._idle.set()

    def _write(self, order: _Order) -> SaveFailed | None:
        """Write this rank's part and, at rank 0, the whole; the failure is also reported."""
        me = self._identity
        key = f"save/{order.number}"
        outcome = ""
        failed = None
        if me.rank in me.writers:
            try:
                outcome = f"{_OK} {self._write_shard(order)}"
            except SaveFailed as error:
                failed, outcome = error, f"{error.code} {error.message}"
        if me.rank != 0:
            if self._store is not None:
                self._store.set(f"{key}/{me.rank}", outcome)
            return failed
        try:
            self._commit(order, [self._outcome(f"{key}/{r}", r, outcome) for r in me.writers])
        except SaveFailed as error:
            session.checkpoint_failed(step=order.step, code=error.code, message=error.message)
            self._tidy()
            return error
        return None

    def _outcome(self, key: str, rank: int, own: str) -> str:
        if rank == self._identity.rank or self._store is None:
            return own
        return bytes(self._store.get(key)).decode()

    def _write_shard(self, order: _Order) -> str:
        """Make this rank's stream and index durable; gives the index's hash."""
        me, place = self._identity, self._place(order)
        new: list[str] = []
        try:
            self._check_fence()
            index = self._put_stream(new)
            self._chunks.sync()
            content = sealed("shard", index)
            place.folder(self._root).mkdir(parents=True, exist_ok=True)
            write_atomically(place.folder(self._root) / shard_file(me.generation, me.rank), content)
        except OSError as error:
            self._chunks.remove(new)
            raise _failure(error) from error
        return hashlib.sha256(content).hexdigest()

    def _put_stream(self, new: list[str]) -> ShardIndex:
        stream = self._stage.stream()
        chunks = []
        written_bytes = 0
        for begin in range(0, len(stream), CHUNK_BYTES):
            chunk, written = self._chunks.put(stream[begin : begin + CHUNK_BYTES])
            chunks.append(chunk)
            if written:
                new.append(chunk.sha256)
                written_bytes += chunk.size_bytes
        return ShardIndex(
            rank=self._identity.rank,
            chunks=tuple(chunks),
            tensors=self._stage.tensors,
            written_bytes=written_bytes,
        )

    def _commit(self, order: _Order, outcomes: list[str]) -> None:
        """Write the manifest over durable shards, read it back, report it, drop what is old."""
        place = self._place(order)
        for outcome in outcomes:
            code, _, message = outcome.partition(" ")
            if code != _OK:
                raise SaveFailed(code, message)
        hashes = [outcome.partition(" ")[2] for outcome in outcomes]
        try:
            self._check_fence()
            manifest = self._manifest(order, hashes)
            folder = place.folder(self._root)
            write_atomically(folder / MANIFEST, sealed("checkpoint", manifest))
            sync_folder(folder.parent)
            sync_folder(self._root)
            read_manifest(self._root, place)
            self._damaged.discard(place)
        except OSError as error:
            raise _failure(error) from error
        except CheckpointDamaged as error:
            raise SaveFailed("io_error", f"it cannot be read back: {error}") from error
        session.checkpointed(
            step=order.step,
            path=str(folder),
            size_bytes=manifest.size_bytes,
            written_bytes=manifest.written_bytes,
            age_ns=round((time.monotonic() - order.staged_s) * 1e9),
            stall_ns=round(order.stall_s * 1e9),
        )
        self._tidy()

    def _manifest(self, order: _Order, hashes: list[str]) -> Manifest:
        """The manifest over the shards that were just written, after a look at every chunk."""
        me = self._identity
        files = tuple(
            ShardFile(file=shard_file(me.generation, rank), sha256=sha256)
            for rank, sha256 in zip(me.writers, hashes, strict=True)
        )
        manifest = Manifest(
            job=me.job,
            epoch=me.epoch,
            generation=me.generation,
            step=order.step,
            world_size=me.world_size,
            parent=me.parent,
            model=me.model,
            seq_len=me.seq_len,
            data_key=me.data_key,
            running_s=order.running_s,
            restarts=me.restarts,
            size_bytes=0,
            written_bytes=0,
            shards=files,
        )
        indexes = read_indexes(self._root, manifest)
        for index in indexes:
            for chunk in index.chunks:
                self._chunks.require(chunk)
        _require_whole([tensor for index in indexes for tensor in index.tensors])
        return replace(
            manifest,
            size_bytes=sum(index.size_bytes for index in indexes),
            written_bytes=sum(index.written_bytes for index in indexes),
        )

    def _check_fence(self) -> None:
        newest = max(epochs(self._root), default=self._identity.epoch)
        if newest > self._identity.epoch:
            message = f"epoch {newest} has begun; epoch {self._identity.epoch} writes no more"
            raise SaveFailed("fenced", message)

    def _tidy(self) -> None:
        """Apply retention; what cannot be deleted today is tried again after the next save."""
        me = self._identity
        try:
            retain(self._root, keep=me.keep, up_to_epoch=me.epoch, damaged=self._damaged)
        except OSError as error:
            sys.stderr.write(f"irongrid: old checkpoints cannot be removed: {error}\n")

    def _place(self, order: _Order) -> Place:
        return Place(self._identity.epoch, order.step)


def begin_epoch(root: Path, epoch: int) -> None:
    """Fence off older epochs: from now on their writers refuse."""
    folder = epoch_folder(root, epoch)
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(root)


def _failure(error: OSError) -> SaveFailed:
    code = "disk_full" if error.errno in _FULL else "io_error"
    return SaveFailed(code, f"{error.strerror}: {error.filename or 'checkpoint'}")


def _require_whole(tensors: Collection[TensorPieces]) -> None:
    """Check that the pieces of each tensor add up to all of it.

    Raises:
        CheckpointDamaged
    """
    missing: dict[str, int] = {}
    for tensor in tensors:
        left = missing.setdefault(tensor.name, math.prod(tensor.shape))
        missing[tensor.name] = left - sum(math.prod(piece.shape) for piece in tensor.pieces)
    for name, left in missing.items():
        if left:
            raise CheckpointDamaged(name, f"lacks {left} values")
