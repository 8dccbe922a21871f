"""The chunk store: a file's name is the hash of its content, so nothing is ever overwritten."""

import hashlib
from collections.abc import Container, Iterable
from pathlib import Path

from irongrid.errors import CheckpointDamaged
from irongrid.train.checkpoint.layout import Chunk
from irongrid.train.files import sync_folder, write_unsynced_name

CHUNK_BYTES = 4 * 2**20


class ChunkStore:
    """Chunks of one job. `put` files are durable after `sync`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unsynced: set[Path] = set()

    def path(self, sha256: str) -> Path:
        """Where a chunk lies."""
        return self.folder / sha256[:2] / sha256

    def put(self, content: memoryview) -> tuple[Chunk, bool]:
        """Keep these bytes; says whether they had to be written.

        Raises:
            OSError: nothing of the chunk is left behind.
        """
        chunk = Chunk(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        path = self.path(chunk.sha256)
        if self._is_sound(path, chunk):
            return chunk, False
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._unsynced.add(self.folder)
        write_unsynced_name(path, content)
        self._unsynced.add(path.parent)
        return chunk, True

    def sync(self) -> None:
        """Make the names of all chunks put so far durable."""
        while self._unsynced:
            sync_folder(self._unsynced.pop())

    def read(self, chunk: Chunk) -> bytes:
        """A chunk's bytes.

        Raises:
            CheckpointDamaged: it is missing, cut, or its bytes changed.
        """
        path = self.path(chunk.sha256)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise CheckpointDamaged(str(path), "is missing") from error
        except OSError as error:
            raise CheckpointDamaged(str(path), f"cannot be read: {error.strerror}") from error
        if len(content) != chunk.size_bytes:
            problem = f"has {len(content)} bytes in place of {chunk.size_bytes}"
            raise CheckpointDamaged(str(path), problem)
        if hashlib.sha256(content).hexdigest() != chunk.sha256:
            raise CheckpointDamaged(str(path), "does not match its name")
        return content

    def require(self, chunk: Chunk) -> None:
        """Check that a chunk is there in full, without reading it.

        Raises:
            CheckpointDamaged
        """
        path = self.path(chunk.sha256)
        if not path.exists() or path.stat().st_size != chunk.size_bytes:
            raise CheckpointDamaged(str(path), "is missing or cut")

    def remove(self, chunks: Iterable[str]) -> None:
        """Delete the chunks named."""
        for sha256 in chunks:
            self.path(sha256).unlink(missing_ok=True)

    def keep_only(self, chunks: Container[str]) -> int:
        """Delete every file but the chunks named; returns the bytes freed."""
        freed_bytes = 0
        for path in list(self.folder.glob("*/*")):
            if path.name not in chunks:
                freed_bytes += path.stat().st_size
                path.unlink()
        return freed_bytes

    def _is_sound(self, path: Path, chunk: Chunk) -> bool:
        """Whether the chunk is there and whole. It is read: a damaged one must not be kept."""
        if not path.exists():
            return False
        try:
            self.read(chunk)
        except CheckpointDamaged:
            return False
        return True
