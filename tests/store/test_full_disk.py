"""A full disk: the append fails as a whole, and the store works again once there is space."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from irongrid.domain.event import Recorded
from irongrid.errors import StoreError
from irongrid.store import EventStore, open_store

MakeRecord = Callable[..., Recorded]

SMALL_DISK_BYTES = 8 * 2**20


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = Path(tempfile.mkdtemp(prefix="irongrid-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        folder.rmdir()
        pytest.skip(
            "mounting a tmpfs needs root; the test with a file size limit runs all the same"
        )
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def fill_until_refused(store: EventStore, record: MakeRecord) -> int:
    """Append batches of about 100 KB until one is refused; returns the last event kept."""
    refusal = ""
    for kept in range(0, 2000, 10):
        try:
            store.append([record(kept + number, key="x" * 10_000) for number in range(1, 11)])
        except StoreError as error:
            refusal = str(error)
            break
    assert "is full: free some space" in refusal
    return kept


def check_recovery(store: EventStore, record: MakeRecord, kept: int) -> None:
    assert store.lost == ""
    assert store.head_seq() == kept
    assert [r.seq for r in store.read()] == list(range(1, kept + 1))
    batch = [record(kept + number, key="x" * 10_000) for number in range(1, 11)]
    store.append(batch)
    assert [r.seq for r in store.read()] == list(range(1, kept + 11))


def test_a_full_disk_refuses_a_batch_whole_and_the_store_goes_on_when_there_is_space(
    small_disk: Path, record: MakeRecord
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(SMALL_DISK_BYTES // 2))
    store = open_store(small_disk / "irongrid.db", holder="a test")

    kept = fill_until_refused(store, record)
    with pytest.raises(StoreError, match="is full"):
        store.append([record(kept + number, key="x" * 10_000) for number in range(1, 11)])
    ballast.unlink()

    check_recovery(store, record, kept)
    store.close()
    again = open_store(small_disk / "irongrid.db", holder="a test")
    assert again.head_seq() == kept + 10
    again.close()


def test_a_full_disk_of_postgresql_does_the_same(
    small_disk: Path, postgres_target: str, record: MakeRecord
) -> None:
    place = small_disk / "tablespace"
    place.mkdir()
    shutil.chown(place, "postgres")
    small_disk.chmod(0o755)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(SMALL_DISK_BYTES // 2))
    store = open_store(postgres_target, holder="a test")
    in_autocommit = store._connection.engine.connect().execution_options(
        isolation_level="AUTOCOMMIT"
    )
    in_autocommit.exec_driver_sql(f"CREATE TABLESPACE small LOCATION '{place}'")
    in_autocommit.exec_driver_sql("ALTER TABLE events SET TABLESPACE small")

    # Noise, as PostgreSQL compresses long values.
    noise: MakeRecord = lambda seq, key: record(seq, key=os.urandom(5_000).hex())  # noqa: E731
    kept = fill_until_refused(store, noise)
    ballast.unlink()

    check_recovery(store, noise, kept)
    in_autocommit.exec_driver_sql("DROP TABLE events")
    in_autocommit.exec_driver_sql("DROP TABLESPACE small")
    in_autocommit.close()
    store.close()


LIMITED = """
import resource, signal, sys
from irongrid.domain.event import CancelRequested, Recorded
from irongrid.domain.ids import JobId
from irongrid.errors import StoreError
from irongrid.store import open_store

def batch(first):
    cancel = CancelRequested(job=JobId("j"))
    return [Recorded(seq, seq, cancel) for seq in range(first, first + 100)]

store = open_store(sys.argv[1], holder="a test")
store.append(batch(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
kept = 100
try:
    while True:
        store.append(batch(kept + 1))
        kept += 100
except StoreError as error:
    print(error)
assert store.head_seq() == kept, (store.head_seq(), kept)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store.append(batch(kept + 1))
assert [record.seq for record in store.read()] == list(range(1, kept + 101))
store.close()
"""


def test_a_limit_on_the_file_size_is_survived_too(tmp_path: Path) -> None:
    script = [sys.executable, "-c", LIMITED, str(tmp_path / "irongrid.db")]

    ended = subprocess.run(script, capture_output=True, text=True, timeout=180)

    assert ended.returncode == 0, ended.stderr
    assert "irongrid.db" in ended.stdout
