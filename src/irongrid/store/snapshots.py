"""Snapshots: one compressed stream of parts, kept as chunks in small transactions.

A snapshot is a shortcut, never a truth: it can be made again from the log. So it is complete and
verified, or it does not exist; and writing one must not get in the way of commits, which is why no
transaction holds more than one chunk.
"""

import hashlib
import logging
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from sqlalchemy import Connection, delete, insert, select, update

from irongrid.errors import StoreError
from irongrid.store.schema import SERVER, SNAPSHOT_CHUNKS, SNAPSHOTS

CHUNK_BYTES = 256 * 1024
KEPT = 2

Transaction = Callable[[], AbstractContextManager[Connection]]

_LENGTH = struct.Struct(">I")
_LOG = logging.getLogger(__name__)


def write(transaction: Transaction, seq: int, parts: Iterable[str]) -> None:
    """Keep a snapshot of the state after record `seq`, then drop all but the newest ones.

    Raises:
        StoreError: the log does not reach `seq`, or a newer snapshot made this one pointless.
    """
    with transaction() as connection:
        head_seq = connection.execute(select(SERVER.c.head_seq)).scalar_one()
    if seq > head_seq:
        raise StoreError(f"no snapshot after event {seq}: the log ends at {head_seq}")
    with transaction() as connection:
        header = insert(SNAPSHOTS).values(seq=seq, complete=False, chunks=0, sha256="")
        key = connection.execute(header).inserted_primary_key
        assert key is not None
        snapshot = int(key[0])

    digest = hashlib.sha256()
    chunks = 0
    for body in _chunks(parts):
        started_s = time.monotonic()
        with transaction() as connection:
            row = {"snapshot": snapshot, "chunk": chunks, "body": body}
            connection.execute(insert(SNAPSHOT_CHUNKS), row)
        digest.update(body)
        chunks += 1
        # SQLite has one write lock and no queue for it: leave it alone as long as it was held.
        time.sleep(time.monotonic() - started_s)

    with transaction() as connection:
        done = connection.execute(
            update(SNAPSHOTS)
            .where(SNAPSHOTS.c.id == snapshot)
            .values(complete=True, chunks=chunks, sha256=digest.hexdigest())
        )
    if done.rowcount != 1:
        raise StoreError(f"the snapshot after event {seq} was overtaken by a newer one")
    _drop_old(transaction)


def latest(transaction: Transaction) -> tuple[int, Iterator[str]] | None:
    """The newest snapshot that is complete and undamaged, or None."""
    newest_first = (SNAPSHOTS.c.seq.desc(), SNAPSHOTS.c.id.desc())
    complete = select(SNAPSHOTS).where(SNAPSHOTS.c.complete).order_by(*newest_first)
    try:
        with transaction() as connection:
            headers = connection.execute(complete).all()
    except StoreError as error:
        _LOG.warning("no snapshot can be read: %s", error)
        return None
    for header in headers:
        try:
            with transaction() as connection:
                rows = connection.execute(
                    select(SNAPSHOT_CHUNKS.c.body)
                    .where(SNAPSHOT_CHUNKS.c.snapshot == header.id)
                    .order_by(SNAPSHOT_CHUNKS.c.chunk)
                )
                bodies = [bytes(body) for (body,) in rows]
        except StoreError as error:
            _LOG.warning("the snapshot after event %d cannot be read: %s", header.seq, error)
            continue
        digest = hashlib.sha256()
        for body in bodies:
            digest.update(body)
        if len(bodies) == header.chunks and digest.hexdigest() == header.sha256:
            return header.seq, _parts(bodies)
        _LOG.warning("the snapshot after event %d is damaged and not used", header.seq)
    return None


def _drop_old(transaction: Transaction) -> None:
    """Drop all but the newest complete snapshots, and what dead writers left unfinished."""
    with transaction() as connection:
        found = connection.execute(select(SNAPSHOTS)).all()
    complete = sorted(((s.seq, s.id) for s in found if s.complete), reverse=True)
    kept = {id for _, id in complete[:KEPT]}
    # What has a higher id may be a writer at work.
    unfinished = {s.id for s in found if not s.complete and s.id < max(kept)}
    for id in sorted(unfinished | {id for _, id in complete} - kept):
        try:
            _drop(transaction, id)
        except StoreError as error:
            _LOG.warning("an old snapshot cannot be dropped: %s", error)


def _drop(transaction: Transaction, id: int) -> None:
    """Make a snapshot invisible, then remove it piece by piece."""
    mine = SNAPSHOT_CHUNKS.c.snapshot == id
    with transaction() as connection:
        connection.execute(update(SNAPSHOTS).where(SNAPSHOTS.c.id == id).values(complete=False))
        numbers = connection.execute(select(SNAPSHOT_CHUNKS.c.chunk).where(mine)).scalars().all()
    for number in numbers:
        with transaction() as connection:
            one = mine & (SNAPSHOT_CHUNKS.c.chunk == number)
            connection.execute(delete(SNAPSHOT_CHUNKS).where(one))
    with transaction() as connection:
        connection.execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.id == id))


def _chunks(parts: Iterable[str]) -> Iterator[bytes]:
    """The parts, each with its length before it, compressed and cut to the size of a chunk."""
    # Level 1: the state is repetitive JSON, and the writer shares the machine with jobs.
    compressor = zlib.compressobj(1)
    buffer = bytearray()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        buffer += compressor.compress(_LENGTH.pack(len(data)))
        buffer += compressor.compress(data)
        while len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer[:CHUNK_BYTES])
            del buffer[:CHUNK_BYTES]
    buffer += compressor.flush()
    for start in range(0, len(buffer), CHUNK_BYTES):
        yield bytes(buffer[start : start + CHUNK_BYTES])


def _parts(bodies: list[bytes]) -> Iterator[str]:
    """The parts behind verified chunks."""
    decompressor = zlib.decompressobj()
    buffer = bytearray()
    position = 0
    for body in bodies:
        buffer += decompressor.decompress(body)
        while len(buffer) - position >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, position)
            end = position + _LENGTH.size + size
            if len(buffer) < end:
                break
            yield buffer[end - size : end].decode("utf-8", "surrogatepass")
            position = end
        del buffer[:position]
        position = 0
