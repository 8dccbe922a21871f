"""What a caller of the log may rely on, on both databases."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pace import at_known_pace, processor_time_s

from irongrid.domain.event import ProgressMade, Recorded
from irongrid.domain.ids import JobId, NodeId, job_id
from irongrid.errors import StoreError
from irongrid.ports import JobEnvironment, Store
from irongrid.store import EventStore, open_reader, open_store

MakeRecord = Callable[..., Recorded]


def test_what_was_appended_is_read_back_after_a_restart(target: str, record: MakeRecord) -> None:
    store: Store = open_store(target, holder="a test")
    store.append([record(1), record(2)])
    store.append([record(3)])
    store.close()

    again = open_store(target, holder="a test")

    assert list(again.read()) == [record(1), record(2), record(3)]
    assert again.head_seq() == 3
    again.close()


def test_an_empty_log_has_head_0_and_no_records(store: EventStore) -> None:
    assert (store.head_seq(), list(store.read())) == (0, [])


def test_reading_starts_after_a_position_and_stops_at_a_limit(
    store: EventStore, record: MakeRecord
) -> None:
    store.append([record(seq) for seq in range(1, 5001)])

    assert [r.seq for r in store.read(after_seq=4990)] == list(range(4991, 5001))
    assert [r.seq for r in store.read(limit=4500)] == list(range(1, 4501))
    assert [r.seq for r in store.read(after_seq=10, limit=2)] == [11, 12]
    assert list(store.read(limit=0)) == []


def test_the_events_of_one_job_are_found(store: EventStore, record: MakeRecord) -> None:
    store.append([record(1, job=1), record(2, job=2), record(3, job=1)])

    assert [r.seq for r in store.read(job=job_id(1))] == [1, 3]


def test_appending_while_reading_is_allowed(store: EventStore, record: MakeRecord) -> None:
    store.append([record(seq) for seq in range(1, 4001)])
    reading = store.read()
    next(reading)

    store.append([record(4001)])

    assert [r.seq for r in reading][-1] == 4001


@pytest.mark.parametrize("seqs", [[2], [0], [1, 3], [1, 1], [2, 1]])
def test_a_gap_is_refused_and_nothing_of_the_batch_is_kept(
    store: EventStore, record: MakeRecord, seqs: list[int]
) -> None:
    with pytest.raises(StoreError):
        store.append([record(seq) for seq in seqs])

    assert list(store.read()) == []
    store.append([record(1)])


def test_a_stamp_before_the_last_one_is_refused(store: EventStore, record: MakeRecord) -> None:
    store.append([record(1)])

    with pytest.raises(StoreError, match="does not follow"):
        store.append([Recorded(2, 1_000, record(2).event)])

    assert store.head_seq() == 1


def test_any_text_that_a_rank_can_print_is_kept(store: EventStore) -> None:
    worst = "NUL \x00, half a pair \udc80, \U0001f9ca, a quote ' and \\"
    event = ProgressMade(
        job=JobId("j1"),
        epoch=1,
        generation=1,
        node=NodeId("n"),
        n=1,
        step=1,
        metrics={worst: 1.5},
    )

    store.append([Recorded(1, 1, event)], [JobEnvironment(job=JobId("j1"), values={"A": worst})])

    assert next(store.read()).event == event
    assert store.environment(JobId("j1")) == {"A": worst}


def test_an_event_without_bound_is_refused(store: EventStore, record: MakeRecord) -> None:
    with pytest.raises(StoreError, match="over the limit"):
        store.append([record(1, key="x" * 9 * 2**20)])

    assert store.head_seq() == 0


def test_environments_are_kept_with_their_job_and_forgotten_on_request(
    target: str, record: MakeRecord
) -> None:
    store = open_store(target, holder="a test")
    store.append([record(1)], [JobEnvironment(job=job_id(1), values={"TOKEN": "s3cret"})])
    store.close()
    again = open_store(target, holder="a test")

    assert again.environment(job_id(1)) == {"TOKEN": "s3cret"}
    again.drop_environments([job_id(1), job_id(2)])
    assert again.environment(job_id(1)) == {}
    again.drop_environments([])
    again.close()


def test_an_environment_whose_event_is_refused_is_not_kept(
    store: EventStore, record: MakeRecord
) -> None:
    with pytest.raises(StoreError):
        store.append([record(7)], [JobEnvironment(job=job_id(7), values={"TOKEN": "s3cret"})])

    assert store.environment(job_id(7)) == {}


def test_errors_hold_no_value_of_an_environment(store: EventStore, record: MakeRecord) -> None:
    environment = JobEnvironment(job=job_id(1), values={"TOKEN": "s3cret"})
    store.append([record(1)], [environment])

    with pytest.raises(StoreError) as caught:
        store.append([record(2)], [environment])  # the job has one already

    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert store.head_seq() == 1


def test_a_dropped_secret_leaves_no_trace_in_the_database_file(
    sqlite_target: str, record: MakeRecord
) -> None:
    store = open_store(sqlite_target, holder="a test")
    store.append([record(1)], [JobEnvironment(job=job_id(1), values={"TOKEN": "s3cret"})])
    store.drop_environments([job_id(1)])
    store.close()

    assert b"s3cret" not in Path(sqlite_target).read_bytes()


def test_only_its_owner_may_read_the_file(sqlite_target: str, record: MakeRecord) -> None:
    store = open_store(sqlite_target, holder="a test")
    store.append([record(1)])

    files = sorted(Path(sqlite_target).parent.iterdir())

    assert [path.suffix for path in files] == [".db", ".db-shm", ".db-wal", ".lock"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    store.close()


def test_a_reader_sees_what_its_server_has_committed(target: str, record: MakeRecord) -> None:
    store = open_store(target, holder="a test")
    store.append([record(1)])
    reader = open_reader(target)

    assert [r.seq for r in reader.read()] == [1]
    store.append([record(2)])
    assert [r.seq for r in reader.read()] == [1, 2]
    assert reader.head_seq() == 2

    reader.close()
    store.close()


def test_a_reader_of_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        open_reader(tmp_path / "none.db")

    assert not (tmp_path / "none.db").exists()


def test_a_database_that_was_replaced_under_its_server_takes_no_more_events(
    sqlite_target: str, record: MakeRecord
) -> None:
    store = open_store(sqlite_target, holder="a test")
    store.append([record(1)])
    Path(sqlite_target).rename(sqlite_target + ".old")

    with pytest.raises(StoreError, match="moved or replaced"):
        store.append([record(2)])

    Path(sqlite_target + ".old").rename(sqlite_target)
    store.append([record(2)])
    store.close()


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, " * 100)

    with pytest.raises(StoreError, match=r"notes\.txt"):
        open_store(tmp_path / "notes.txt", holder="a test")


def test_a_log_that_lost_its_tail_is_refused(target: str, record: MakeRecord) -> None:
    store = open_store(target, holder="a test")
    store.append([record(1), record(2)])
    with store._transaction() as connection:
        connection.exec_driver_sql("DELETE FROM events WHERE seq = 2")
    store.close()

    with pytest.raises(StoreError, match="last event is 1, and 2 was acknowledged"):
        open_store(target, holder="a test")


@pytest.mark.parametrize("target_url", ["mysql://u:pw@h/d", "sqlite://", "://", "postgresql://[x"])
def test_a_url_without_a_store_is_refused(target_url: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(target_url, holder="a test")

    assert "pw" not in str(caught.value)


def test_a_thousand_events_in_batches_take_less_than_a_second_of_a_core(
    target: str, record: MakeRecord
) -> None:
    store = open_store(target, holder="a test")

    def append() -> None:
        first = store.head_seq() + 1
        records = [record(first + number) for number in range(1000)]
        for start in range(0, 1000, 20):
            store.append(records[start : start + 20])

    # How long a disk takes beside it is what benchmarks/submit measures.
    assert at_known_pace(lambda: processor_time_s(append), 1.0) < 1.0
    store.close()
