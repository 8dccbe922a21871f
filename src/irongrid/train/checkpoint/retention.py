"""Which checkpoints stay. What goes leaves in an order in which a crash can only leave rubbish."""

import shutil
from collections.abc import Collection
from pathlib import Path

from irongrid.errors import CheckpointDamaged
from irongrid.train.checkpoint.chunks import ChunkStore
from irongrid.train.checkpoint.layout import (
    MANIFEST,
    Place,
    complete_places,
    epoch_folder,
    epochs,
    read_indexes,
    read_manifest,
)
from irongrid.train.files import sync_folder


def retain(root: Path, *, keep: int, up_to_epoch: int, damaged: Collection[Place] = ()) -> None:
    """Keep the newest sound checkpoints and their chunks; delete the others.

    Call it only while no save is under way: a chunk that no manifest names is deleted. While there
    is no sound checkpoint at all, nothing is.

    Args:
        damaged: checkpoints whose chunks are known to be bad, though their manifests look sound.

    Raises:
        OSError: something cannot be read or deleted; calling again later is safe.
    """
    named: set[str] = set()
    kept, surplus = 0, []
    for place in complete_places(root, up_to_epoch):
        chunks = _chunks(root, place) if kept < keep and place not in damaged else None
        if chunks is None:
            surplus.append(place)
        else:
            kept += 1
            named |= chunks
    if kept == 0:
        return
    for place in surplus:
        _forget(place.folder(root))
    _remove_unfinished(root, up_to_epoch)
    ChunkStore(root / "chunks").keep_only(named)


def _chunks(root: Path, place: Place) -> set[str] | None:
    """Names of a checkpoint's chunks; None when it is damaged.

    Raises:
        OSError: it cannot be read now, but perhaps later.
    """
    try:
        indexes = read_indexes(root, read_manifest(root, place))
    except CheckpointDamaged as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            raise cause from error
        return None
    return {chunk.sha256 for index in indexes for chunk in index.chunks}


def _forget(folder: Path) -> None:
    """Delete a checkpoint: first it stops being one, then its files go."""
    (folder / MANIFEST).unlink()
    sync_folder(folder)
    shutil.rmtree(folder)


def _remove_unfinished(root: Path, up_to_epoch: int) -> None:
    for epoch in epochs(root):
        if epoch <= up_to_epoch:
            for folder in epoch_folder(root, epoch).glob("step-*"):
                if not (folder / MANIFEST).exists():
                    shutil.rmtree(folder)
