"""The append-only event log with its snapshots, on SQLite or PostgreSQL."""

from irongrid.store.log import EventReader, EventStore, open_reader, open_store
from irongrid.store.ndjson import bounded_lines, export_ndjson, import_ndjson, read_ndjson

__all__ = [
    "EventReader",
    "EventStore",
    "bounded_lines",
    "export_ndjson",
    "import_ndjson",
    "open_reader",
    "open_store",
    "read_ndjson",
]
