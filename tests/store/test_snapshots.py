"""Snapshots: complete and verified, or not there."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from irongrid.domain.event import Recorded
from irongrid.errors import StoreError
from irongrid.store import EventStore, open_reader, open_store

MakeRecord = Callable[..., Recorded]
# Incompressible, so that it fills several chunks.
NOISE = os.urandom(400_000).hex()


@pytest.fixture
def filled(store: EventStore, record: MakeRecord) -> EventStore:
    """A store with ten events."""
    store.append([record(seq) for seq in range(1, 11)])
    return store


def execute(store: EventStore, sql: str) -> None:
    with store._transaction() as connection:
        connection.exec_driver_sql(sql)


def chunk_rows(store: EventStore) -> int:
    with store._transaction() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM snapshot_chunks").scalar_one()
    return int(count)


def seq_of_latest(store: EventStore) -> int | None:
    found = store.latest_snapshot()
    return None if found is None else found[0]


def test_a_snapshot_comes_back_part_by_part(filled: EventStore) -> None:
    parts = ["", '{"a": 1}', NOISE, "Größe \U0001f9ca \udc80 \x00", *map(str, range(1000)), NOISE]

    filled.write_snapshot(10, iter(parts))

    found = filled.latest_snapshot()
    assert found is not None
    assert (found[0], list(found[1])) == (10, parts)
    assert chunk_rows(filled) > 2


def test_an_empty_store_has_no_snapshot(store: EventStore) -> None:
    assert store.latest_snapshot() is None


def test_a_snapshot_of_no_parts_is_one(filled: EventStore) -> None:
    filled.write_snapshot(10, iter(()))

    found = filled.latest_snapshot()
    assert found is not None
    assert list(found[1]) == []


def test_the_snapshot_of_the_highest_event_wins_even_if_it_was_written_first(
    filled: EventStore,
) -> None:
    filled.write_snapshot(9, iter(["nine"]))
    filled.write_snapshot(4, iter(["four"]))

    assert seq_of_latest(filled) == 9


def test_two_complete_snapshots_are_kept(filled: EventStore) -> None:
    for seq in (2, 4, 6, 8):
        filled.write_snapshot(seq, iter([NOISE]))

    with filled._transaction() as connection:
        kept = connection.exec_driver_sql("SELECT seq FROM snapshots ORDER BY seq").scalars().all()
    assert kept == [6, 8]
    assert chunk_rows(filled) == 2 * 2


def test_a_snapshot_ahead_of_the_log_is_refused(filled: EventStore) -> None:
    with pytest.raises(StoreError, match="the log ends at 10"):
        filled.write_snapshot(11, iter(["x"]))

    assert filled.latest_snapshot() is None


def test_a_snapshot_that_was_not_completed_is_invisible_and_then_removed(
    filled: EventStore,
) -> None:
    def broken() -> Iterator[str]:
        yield NOISE
        yield NOISE
        raise KeyboardInterrupt

    filled.write_snapshot(5, iter(["five"]))
    with pytest.raises(KeyboardInterrupt):
        filled.write_snapshot(9, broken())

    assert seq_of_latest(filled) == 5
    assert chunk_rows(filled) > 1
    filled.write_snapshot(10, iter(["ten"]))
    assert chunk_rows(filled) == 2


DAMAGE = {
    "a flipped bit": "UPDATE snapshot_chunks SET body = {zeros} WHERE chunk = 1 AND snapshot = 2",
    "a lost chunk": "DELETE FROM snapshot_chunks WHERE chunk = 1 AND snapshot = 2",
    "a lost tail": "DELETE FROM snapshot_chunks WHERE chunk > 0 AND snapshot = 2",
    "no chunks": "DELETE FROM snapshot_chunks WHERE snapshot = 2",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_snapshot_gives_way_to_the_one_before(filled: EventStore, damage: str) -> None:
    filled.write_snapshot(5, iter([NOISE]))
    filled.write_snapshot(9, iter([NOISE]))
    zeros = "zeroblob(262144)" if "db" in filled.name else r"'\x00'::bytea"
    execute(filled, DAMAGE[damage].format(zeros=zeros))

    found = filled.latest_snapshot()

    assert found is not None
    assert (found[0], list(found[1])) == (5, [NOISE])
    execute(filled, "DELETE FROM snapshot_chunks WHERE snapshot = 1")
    assert filled.latest_snapshot() is None


def test_pages_of_a_snapshot_that_the_disk_lost_do_no_harm_to_the_log(
    sqlite_target: str, record: MakeRecord
) -> None:
    store = open_store(sqlite_target, holder="a test")
    store.append([record(1)])
    store.write_snapshot(1, iter([NOISE]))
    store.close()
    content = bytearray(Path(sqlite_target).read_bytes())
    assert len(content) > 100 * 4096
    content[-80 * 4096 : -10 * 4096] = bytes(70 * 4096)
    Path(sqlite_target).write_bytes(content)

    again = open_store(sqlite_target, holder="a test")

    assert again.latest_snapshot() is None
    assert [r.seq for r in again.read()] == [1]
    again.append([record(2)])
    for _ in range(3):
        again.write_snapshot(2, iter(["two"]))
    assert seq_of_latest(again) == 2
    again.close()


SNAPSHOTTER = """
import sys
from irongrid.store import open_reader
reader = open_reader(sys.argv[1])
seqs = [str(record.seq) for record in reader.read()]
reader.write_snapshot(len(seqs), iter(seqs))
reader.close()
"""


def test_another_process_writes_a_snapshot_while_the_server_holds_the_store(
    filled: EventStore, target: str
) -> None:
    subprocess.run([sys.executable, "-c", SNAPSHOTTER, target], check=True, timeout=120)

    found = filled.latest_snapshot()

    assert found is not None
    assert (found[0], list(found[1])) == (10, [str(seq) for seq in range(1, 11)])
    assert filled.server_epoch == 1


def test_a_large_snapshot_does_not_hold_up_commits(target: str, record: MakeRecord) -> None:
    store = open_store(target, holder="a test")
    store.append([record(1)])
    # 10 MB that do not compress: as much to write as some 60 MB of a real state.
    parts = [os.urandom(5_000).hex() for _ in range(1000)]

    def longest_share() -> float:
        """The longest commit beside a snapshot, as a share of the time that the snapshot took."""
        writer = threading.Thread(target=write_snapshot, args=(target, parts))
        took_s = [0.0]
        began_s = time.monotonic()
        writer.start()
        while writer.is_alive():
            started_s = time.monotonic()
            store.append([record(store.head_seq() + 1)])
            took_s.append(time.monotonic() - started_s)
            time.sleep(0.002)
        return max(took_s) / (time.monotonic() - began_s)

    # A snapshot that locks the store lets a commit wait for nearly all of it, each time. A busy
    # machine may do so too, but not each time.
    assert any(longest_share() < 0.4 for _ in range(3))
    assert seq_of_latest(store) == 1
    store.close()


def write_snapshot(target: str, parts: list[str]) -> None:
    reader = open_reader(target)
    reader.write_snapshot(1, iter(parts))
    reader.close()
