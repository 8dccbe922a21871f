"""The log for readers: recent records from memory, older ones from the store.

Readers have a database connection of their own, used by one thread, so they never delay a commit.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from irongrid.domain.codec import to_json
from irongrid.domain.event import Recorded
from irongrid.domain.ids import JobId
from irongrid.domain.messages import EventPage, EventRow
from irongrid.errors import StoreError
from irongrid.server.feed import Feed
from irongrid.store import EventReader, open_reader


class History:
    """Pages of the log."""

    def __init__(self, target: str | Path, feed: Feed) -> None:
        self._target = target
        self._feed = feed
        self._reader: EventReader | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")

    async def page(self, after_seq: int, limit: int, job: JobId | None) -> EventPage:
        """Events with a number above `after_seq`, in order; of one job, or all.

        With fewer events than `limit`, nothing up to `head_seq` is left out.
        """
        head_seq = self._feed.head_seq
        recent = self._feed.recent(after_seq)
        if recent is None:
            rows = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._from_store, after_seq, limit, job
            )
        else:
            wanted = [record for record in recent if job in (None, job_of(record))]
            rows = tuple(event_row(record) for record in wanted[:limit])
        return EventPage(events=rows, head_seq=max(head_seq, rows[-1].seq if rows else 0))

    def close(self) -> None:
        """Let the store go."""
        if self._reader is not None:
            self._thread.submit(self._reader.close)
        self._thread.shutdown()

    def _from_store(self, after_seq: int, limit: int, job: JobId | None) -> tuple[EventRow, ...]:
        if self._reader is None:
            self._reader = open_reader(self._target)
        try:
            return tuple(event_row(found) for found in self._reader.read(after_seq, limit, job=job))
        except StoreError:
            # A connection that broke must not stand in the way of the next reader.
            self._reader.close()
            self._reader = None
            raise


def job_of(record: Recorded) -> JobId | None:
    """The job that an event is about; None for decisions and for the server's own events."""
    return getattr(record.event, "job", None)


def event_row(record: Recorded) -> EventRow:
    """A record for people and programs."""
    event = record.event
    return EventRow(
        seq=record.seq,
        at_ns=record.at_ns,
        kind=event.kind,
        version=event.version,
        job_id=job_of(record) or "",
        body=to_json(event),
    )
