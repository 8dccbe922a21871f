"""The files of a checkpoint: where they are, what they hold, and how they are checked."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from irongrid.domain.codec import canonical, from_json, to_json
from irongrid.domain.model import ModelShape
from irongrid.errors import CheckpointDamaged, CodecError

API_VERSION = "irongrid/v1"
MANIFEST = "manifest.json"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A checkpoint's position in the job's life; the greatest complete one is the latest."""

    epoch: int
    step: int

    def folder(self, root: Path) -> Path:
        """Its folder below the job's checkpoints."""
        return epoch_folder(root, self.epoch) / f"step-{self.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Up to 4 MiB of a stream, named by their hash."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A box of a tensor, row-major, from byte `begin` of the shard's stream."""

    offset: tuple[int, ...]
    shape: tuple[int, ...]
    begin: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPieces:
    """What one shard holds of one tensor.

    Attributes:
        shape: of the whole tensor.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardIndex:
    """What one rank wrote."""

    rank: int
    chunks: tuple[Chunk, ...]
    tensors: tuple[TensorPieces, ...]
    written_bytes: int

    @property
    def size_bytes(self) -> int:
        """Length of the stream."""
        return sum(chunk.size_bytes for chunk in self.chunks)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFile:
    """A shard index beside the manifest, and its hash."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A complete checkpoint.

    Attributes:
        step: optimizer steps done; the next sample follows from it.
        parent: [epoch, step] that a new epoch started from, in its manifests; empty for none.
        data_key: which tokenised corpus the steps count on.
        running_s: time that ranks had worked when this state was captured, over all epochs.
        restarts: how often they had been started again by then.
    """

    job: str
    epoch: int
    generation: int
    step: int
    world_size: int
    parent: tuple[int, ...]
    model: ModelShape
    seq_len: int
    data_key: str
    running_s: float
    restarts: int
    size_bytes: int
    written_bytes: int
    shards: tuple[ShardFile, ...]
    optimizer: dict[str, str] = field(default_factory=lambda: {"kind": "adamw"})

    @property
    def place(self) -> Place:
        """Where it belongs."""
        return Place(self.epoch, self.step)


def epoch_folder(root: Path, epoch: int) -> Path:
    """The only folder beside the chunks in which this epoch's ranks write."""
    return root / f"epoch-{epoch}"


def shard_file(generation: int, rank: int) -> str:
    """Name of a shard index. The generation keeps an unfinished attempt's files apart."""
    return f"shard-g{generation}-{rank:05d}.json"


def epochs(root: Path) -> list[int]:
    """Epochs that ever began, ascending."""
    return sorted(_numbers(root, "epoch-"))


def complete_places(root: Path, up_to_epoch: int) -> list[Place]:
    """Checkpoints that have a manifest, newest first. Whether it is sound is not looked at."""
    places = [
        Place(epoch, step)
        for epoch in epochs(root)
        if epoch <= up_to_epoch
        for step in _numbers(epoch_folder(root, epoch), "step-")
    ]
    return sorted((p for p in places if (p.folder(root) / MANIFEST).exists()), reverse=True)


def sealed(kind: str, value: Any) -> bytes:
    """A document with its own checksum."""
    body = {"apiVersion": API_VERSION, "kind": kind, **to_json(value)}
    digest = hashlib.sha256(canonical(body).encode()).hexdigest()
    return (canonical({**body, "sha256": digest}) + "\n").encode()


def unsealed(path: Path, target: type[T], kind: str) -> T:
    """The value in a sealed document.

    Raises:
        CheckpointDamaged: it is missing, cut, changed or of another kind.
    """
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointDamaged(str(path), "is missing") from error
    except OSError as error:
        raise CheckpointDamaged(str(path), f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointDamaged(str(path), "is no JSON document") from error
    if not isinstance(body, dict):
        raise CheckpointDamaged(str(path), "is no JSON object")
    digest = body.pop("sha256", None)
    if digest != hashlib.sha256(canonical(body).encode()).hexdigest():
        raise CheckpointDamaged(str(path), "does not match its checksum")
    if (body.pop("apiVersion", None), body.pop("kind", None)) != (API_VERSION, kind):
        raise CheckpointDamaged(str(path), f"is no {API_VERSION} {kind}")
    try:
        return from_json(target, body)
    except CodecError as error:
        raise CheckpointDamaged(str(path), str(error)) from error


def read_manifest(root: Path, place: Place) -> Manifest:
    """A manifest, checked against its checksum and its place.

    Raises:
        CheckpointDamaged
    """
    path = place.folder(root) / MANIFEST
    manifest = unsealed(path, Manifest, "checkpoint")
    if manifest.place != place:
        raise CheckpointDamaged(str(path), f"belongs to {manifest.place}")
    return manifest


def read_indexes(root: Path, manifest: Manifest) -> list[ShardIndex]:
    """All shard indexes of a manifest, checked against the hashes in it.

    Raises:
        CheckpointDamaged
    """
    folder = manifest.place.folder(root)
    indexes = []
    for shard in manifest.shards:
        path = folder / shard.file
        indexes.append(unsealed(path, ShardIndex, "shard"))
        if hashlib.sha256(path.read_bytes()).hexdigest() != shard.sha256:
            raise CheckpointDamaged(str(path), "does not match the manifest")
    return indexes


def _numbers(folder: Path, prefix: str) -> Iterator[int]:
    """The numbers behind the prefix, over a folder's names."""
    if folder.is_dir():
        for name in (entry.name for entry in folder.iterdir()):
            digits = name.removeprefix(prefix)
            if name.startswith(prefix) and digits.isdecimal():
                yield int(digits)
