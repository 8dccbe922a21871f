"""Events to rows of the log and back.

Text is pure ASCII with JSON's own escapes: whatever a job's stderr held, such as NUL or half a
surrogate pair, both databases take it.
"""

import json
from typing import Any, TypedDict

from irongrid.domain.codec import from_json, to_json
from irongrid.domain.event import Recorded
from irongrid.errors import CodecError, StoreError
from irongrid.store.upcast import EVENT_TYPES, upcast

# A bound on what one event may hold, so that reading a log back never meets a line without end.
MAX_BODY_CHARS = 8 * 2**20

encode_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode


class EventRow(TypedDict):
    """A row of the table `events`."""

    seq: int
    at_ns: int
    kind: str
    version: int
    job: str | None
    body: str


def to_row(record: Recorded) -> EventRow:
    """The row of an event.

    Raises:
        StoreError: the event is too large.
    """
    event = record.event
    body = to_json(event)
    del body["kind"]
    text = encode_json(body)
    if len(text) > MAX_BODY_CHARS:
        raise StoreError(
            f"event {record.seq} ({event.kind}) has {len(text)} characters, over the limit of "
            f"{MAX_BODY_CHARS}"
        )
    return {
        "seq": record.seq,
        "at_ns": record.at_ns,
        "kind": event.kind,
        "version": event.version,
        "job": getattr(event, "job", None),
        "body": text,
    }


def from_row(seq: int, at_ns: int, kind: str, version: int, body: str) -> Recorded:
    """The event of a row, in the current form of its kind.

    Raises:
        StoreError: the row is damaged, or a newer Irongrid wrote it.
    """
    try:
        value = json.loads(body)
    except ValueError as error:
        raise StoreError(f"event {seq} ({kind}) holds no JSON: {error}") from None
    return to_record(seq, at_ns, kind, version, value)


def to_record(seq: int, at_ns: int, kind: str, version: int, body: dict[str, Any]) -> Recorded:
    """The event behind a parsed body, in the current form of its kind.

    Raises:
        StoreError: the body does not fit its kind, or a newer Irongrid wrote it.
    """
    try:
        current = upcast(kind, version, body)
        return Recorded(seq, at_ns, from_json(EVENT_TYPES[kind], current))
    except CodecError as error:
        raise StoreError(f"event {seq} ({kind} version {version}): {error}") from None
    except StoreError as error:
        raise StoreError(f"event {seq}: {error}") from None
