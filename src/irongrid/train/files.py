"""Files that are either whole and durable, or not there."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write, sync and rename into place, and sync the folder.

    Raises:
        OSError: nothing is left behind, and a former file stays as it was.
    """
    write_unsynced_name(path, content)
    sync_folder(path.parent)


def write_unsynced_name(path: Path, content: bytes | memoryview) -> None:
    """Like `write_atomically`, but the caller syncs the folder, once for many files."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        aside.rename(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
