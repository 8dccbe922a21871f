"""The output of a rank on disk: written by its worker, read by the server, in one format.

`rank-<r>.log` takes the newest bytes. When it holds exactly PIECE_BYTES it becomes
`rank-<r>.log.<k>`, the k-th piece ever, and the oldest pieces go. So a piece's number gives its
position in the rank's output, and no index can be lost or disagree.
"""

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from irongrid.domain.ids import JobId, attempt_id
from irongrid.domain.messages import LogChunk

PIECE_BYTES = 4 * 2**20
KEPT_PIECES = 8
CHUNK_BYTES = 64 * 2**10


def log_path(job_dir: Path, epoch: int, rank: int) -> Path:
    """Where the newest output of a rank stands."""
    return job_dir / f"attempt-{epoch}" / f"rank-{rank}.log"


class RankLog:
    """The writing side. Disk space is bounded; a full disk costs output, never the job."""

    def __init__(
        self, path: Path, piece_bytes: int = PIECE_BYTES, kept_pieces: int = KEPT_PIECES
    ) -> None:
        self._path = path
        self._piece_bytes = piece_bytes
        self._kept_pieces = kept_pieces
        self._pieces = _newest_piece(path)
        self._fd = self._open()
        self._size_bytes = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> int:
        """Append; returns the bytes that were lost because the disk took no more."""
        view = memoryview(data)
        while view:
            try:
                if self._size_bytes >= self._piece_bytes:
                    self._rotate()
                written = os.write(self._fd, view[: self._piece_bytes - self._size_bytes])
            except OSError:
                return len(view)
            self._size_bytes += written
            view = view[written:]
        return 0

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    def _rotate(self) -> None:
        piece = _piece(self._path, self._pieces + 1)
        if not piece.exists():  # An earlier try may have got this far, and no further.
            self._path.rename(piece)
        fd = self._open()
        os.close(self._fd)
        self._fd, self._size_bytes = fd, 0
        self._pieces += 1
        _piece(self._path, self._pieces - self._kept_pieces).unlink(missing_ok=True)


def read_log(
    job_dir: Path,
    epoch: int,
    rank: int,
    offset: int,
    limit_bytes: int = CHUNK_BYTES,
    *,
    attempt_over: bool = False,
    piece_bytes: int = PIECE_BYTES,
) -> LogChunk:
    """A piece of one rank's output from `offset` on; a negative offset counts from the end.

    Args:
        attempt_over: nothing of the attempt runs any more, so what is there is all there will be.
    """
    path = log_path(job_dir, epoch, rank)
    limit_bytes = max(4, min(limit_bytes, CHUNK_BYTES))  # A character has up to 4 bytes.
    first, end = _extent(path, piece_bytes)
    start = max(0, end + offset) if offset < 0 else offset
    at = max(start, first)
    data = _read(path, at, limit_bytes, piece_bytes)
    is_all = attempt_over and at + len(data) >= end
    text, used_bytes = _decode(data, final=is_all)
    return LogChunk(
        attempt=attempt_id(JobId(job_dir.name), epoch),
        rank=rank,
        offset=at,
        next_offset=at + used_bytes,
        dropped_bytes=at - start,
        text=text,
        ended=is_all,
    )


def _piece(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _numbers(path: Path) -> Iterator[int]:
    try:
        names = os.listdir(path.parent)
    except FileNotFoundError:
        return
    for name in names:
        stem, _, number = name.rpartition(".")
        if stem == path.name and number.isdecimal():
            yield int(number)


def _newest_piece(path: Path) -> int:
    return max(_numbers(path), default=0)


def _extent(path: Path, piece_bytes: int) -> tuple[int, int]:
    """Positions of the first byte that is kept and of the end."""
    numbers = sorted(_numbers(path))
    newest = numbers[-1] if numbers else 0
    first = numbers[0] - 1 if numbers else 0
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:
        size_bytes = 0
    return first * piece_bytes, newest * piece_bytes + size_bytes


def _read(path: Path, at: int, limit_bytes: int, piece_bytes: int) -> bytes:
    """Bytes from position `at`, across pieces."""
    data = b""
    while len(data) < limit_bytes:
        index, inside = divmod(at + len(data), piece_bytes)
        part = _read_piece(path, index + 1, inside, limit_bytes - len(data))
        if not part:
            break
        data += part
    return data


def _read_piece(path: Path, number: int, inside: int, limit_bytes: int) -> bytes:
    for candidate in (_piece(path, number), path, _piece(path, number)):
        # The newest file has no number of its own: it is the one after the newest piece, provided
        # that this holds both before and after it is opened.
        newest = candidate == path
        if newest and _newest_piece(path) != number - 1:
            continue
        try:
            with candidate.open("rb") as file:
                if newest and _newest_piece(path) != number - 1:
                    continue
                file.seek(inside)
                return file.read(limit_bytes)
        except FileNotFoundError:
            continue
    return b""


def _decode(data: bytes, *, final: bool) -> tuple[str, int]:
    """Text and the bytes it took: a character that is cut at the end is left for the next chunk."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data, final=final)
    held, _ = decoder.getstate()
    return text, len(data) - len(held)
