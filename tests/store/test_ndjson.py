"""The log as text: out of one store, into another, on either database."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from irongrid.domain.event import Recorded, ServerStarted
from irongrid.errors import StoreError
from irongrid.store import (
    EventStore,
    bounded_lines,
    export_ndjson,
    import_ndjson,
    ndjson,
    open_reader,
    open_store,
)
from irongrid.store.ndjson import MAX_LINE_CHARS

MakeRecord = Callable[..., Recorded]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches from few lines."""
    monkeypatch.setattr(ndjson, "BATCH", 8)


def started(seq: int, server_epoch: int) -> Recorded:
    event = ServerStarted(server_epoch=server_epoch, irongrid_version="0", nodes=())
    return Recorded(seq, 1_000 + seq, event)


def test_an_exported_log_imports_into_another_store_unchanged(
    target: str, tmp_path: Path, record: MakeRecord
) -> None:
    store = open_store(target, holder="a test")
    store.append([record(seq) for seq in range(1, 251)])
    text = "".join(line + "\n" for line in export_ndjson(store))
    store.close()
    copy = open_store(tmp_path / "copy.db", holder="a test")

    count = import_ndjson(bounded_lines(io.StringIO(text)), copy)

    assert count == 250
    assert [record(seq) for seq in range(1, 251)] == list(copy.read())
    assert "".join(line + "\n" for line in export_ndjson(copy)) == text
    copy.append([record(251)])
    copy.close()


def test_a_log_imports_into_either_database(store: EventStore, record: MakeRecord) -> None:
    lines = []
    for seq in (1, 2):
        body = {"job": f"j00000{seq}", "spec": {}, "key": "k"}
        body["spec"] = {"name": "n", "task": {"kind": "run", "argv": ["true"]}, "workdir": "/w"}
        row = {"seq": seq, "at_ns": seq, "kind": "job_submitted", "version": 1, "body": body}
        lines.append(json.dumps(row))

    assert import_ndjson(lines, store) == 2
    assert store.head_seq() == 2


def test_each_line_is_one_ascii_json_object_with_five_fields(
    store: EventStore, target: str, record: MakeRecord
) -> None:
    store.append([record(1, key="Größe\n\u2028"), record(2)])
    reader = open_reader(target)

    first, second = export_ndjson(reader)

    assert first.isascii()
    assert list(json.loads(first)) == ["seq", "at_ns", "kind", "version", "body"]
    assert json.loads(second)["body"]["key"] == "k2"
    assert list(export_ndjson(reader, after_seq=1)) == [second]
    reader.close()


def test_the_server_epoch_goes_on_after_those_of_an_imported_log(
    target: str, tmp_path: Path, record: MakeRecord
) -> None:
    source = open_store(tmp_path / "source.db", holder="a test")
    source.append([started(1, 6), started(2, 7)])
    store = open_store(target, holder="a test")

    import_ndjson(export_ndjson(source), store)

    assert store.server_epoch == 7
    store.append([record(3)])
    store.close()
    again = open_store(target, holder="a test")
    assert again.server_epoch == 8
    again.close()
    source.close()


def test_only_an_empty_store_is_filled(store: EventStore, record: MakeRecord) -> None:
    store.append([record(1)])

    with pytest.raises(StoreError, match="empty store"):
        import_ndjson(list(export_ndjson(store)), store)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda line: line[:-9], "no JSON"),
        (lambda line: "", "no JSON"),
        (lambda line: "[" * 100_000, "no JSON"),
        (lambda line: "[1]", "expected an object"),
        (lambda line: line.replace('"seq":', '"sequence":'), "expected an object"),
        (lambda line: line.replace('"seq":20', '"seq":21'), "20 must come next"),
        (lambda line: line.replace('"seq":20', '"seq":"20"'), "seq must be of type int"),
        (lambda line: line.replace('"seq":20', '"seq":true'), "seq must be of type int"),
        (lambda line: line.replace('"at_ns":1020', '"at_ns":1'), "before the line above"),
        (lambda line: line.replace("job_submitted", "job_teleported"), "unknown event kind"),
        (lambda line: line.replace('"version":1', '"version":9'), "version 9"),
        (lambda line: line.replace('"key":', '"kay":'), "unknown field kay"),
        (lambda line: line + " " * MAX_LINE_CHARS, "longer than"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_imported(
    sqlite_target: str, record: MakeRecord, change: Callable[[str], str], says: str
) -> None:
    store = open_store(sqlite_target, holder="a test")
    store.append([record(seq) for seq in range(1, 22)])
    lines = list(export_ndjson(store))
    store.close()
    lines[19] = change(lines[19])
    empty = open_store(sqlite_target + "2", holder="a test")

    with pytest.raises(StoreError, match=f"line 20: .*{says}"):
        import_ndjson(lines, empty)

    assert (empty.head_seq(), list(empty.read())) == (0, [])
    empty.close()


def test_a_file_without_line_ends_is_read_in_bounded_pieces() -> None:
    hostile = io.StringIO("x" * (3 * MAX_LINE_CHARS))

    assert {len(line) for line in bounded_lines(hostile)} <= {
        MAX_LINE_CHARS + 1,
        MAX_LINE_CHARS - 2,
    }
