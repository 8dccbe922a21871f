"""The log as text: one JSON object per line. For moving between databases, and for reading.

Values of jobs' environments are not part of it.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any, Protocol

from irongrid.domain.event import Recorded
from irongrid.errors import StoreError
from irongrid.store.log import EventStore
from irongrid.store.rows import MAX_BODY_CHARS, to_record, to_row

MAX_LINE_CHARS = MAX_BODY_CHARS + 4096
BATCH = 1000

_FIELDS = {"seq": int, "at_ns": int, "kind": str, "version": int, "body": dict}


class ReadsEvents(Protocol):
    """A store or a reader."""

    def read(self, after_seq: int = 0, limit: int | None = None) -> Iterator[Recorded]:
        """Records in order."""


def export_ndjson(source: ReadsEvents, after_seq: int = 0) -> Iterator[str]:
    """The log after `after_seq`, a line per event without its line end, in current versions."""
    for record in source.read(after_seq):
        row = to_row(record)
        yield (
            f'{{"seq":{row["seq"]},"at_ns":{row["at_ns"]},"kind":{json.dumps(row["kind"])},'
            f'"version":{row["version"]},"body":{row["body"]}}}'
        )


def bounded_lines(stream: IO[str]) -> Iterator[str]:
    """Lines of a file, none longer than the import takes, however hostile the file."""
    while line := stream.readline(MAX_LINE_CHARS + 1):
        yield line


def import_ndjson(lines: Iterable[str], store: EventStore) -> int:
    """Fill an empty store with an exported log, all of it or nothing; returns the event count.

    Raises:
        StoreError: the store is not empty, or a line is wrong; the message names the line.
    """
    if store.head_seq() != 0:
        raise StoreError("import needs an empty store, and this one holds events. Use a new one")
    return store.fill(_batches(lines))


def _batches(lines: Iterable[str]) -> Iterator[list[Recorded]]:
    records = read_ndjson(lines)
    while batch := list(islice(records, BATCH)):
        yield batch


def read_ndjson(lines: Iterable[str]) -> Iterator[Recorded]:
    """The records of an exported log, from its first on, in the current form of their kinds.

    Raises:
        StoreError: a line is wrong; the message names it.
    """
    seq, at_ns = 0, 0
    for number, line in enumerate(lines, start=1):
        record = _parse(number, line)
        if record.seq != seq + 1:
            raise StoreError(f"line {number}: seq is {record.seq}, and {seq + 1} must come next")
        if record.at_ns < at_ns:
            raise StoreError(f"line {number}: at_ns {record.at_ns} is before the line above")
        seq, at_ns = record.seq, record.at_ns
        yield record


def _parse(number: int, line: str) -> Recorded:
    if len(line) > MAX_LINE_CHARS:
        raise StoreError(f"line {number}: longer than {MAX_LINE_CHARS} characters")
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"line {number}: no JSON: {error}") from None
    if not isinstance(value, dict) or value.keys() != _FIELDS.keys():
        raise StoreError(f"line {number}: expected an object with {', '.join(_FIELDS)}")
    for name, kind in _FIELDS.items():
        if type(value[name]) is not kind:
            raise StoreError(f"line {number}: {name} must be of type {kind.__name__}")
    try:
        return to_record(**value)
    except StoreError as error:
        raise StoreError(f"line {number}: {error}") from None
