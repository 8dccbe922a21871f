"""News from the state thread for the event loop: recent records, and who waits for which job."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from irongrid.domain.event import Recorded
from irongrid.domain.ids import JobId
from irongrid.server.work import jobs_of

# Streams that follow the log live are served from here; older records come from the store.
RECENT_RECORDS = 4_096


class Feed:
    """Wakes those who wait. Lives on the event loop; `publish` may be called from elsewhere."""

    def __init__(self) -> None:
        self.closing = asyncio.Event()
        self.head_seq = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._recent: deque[Recorded] = deque(maxlen=RECENT_RECORDS)
        self._by_job: dict[JobId, set[asyncio.Event]] = defaultdict(set)
        self._all: set[asyncio.Event] = set()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which event loop those who wait are on."""
        self._loop = loop

    def publish(self, records: tuple[Recorded, ...]) -> None:
        """Tell the event loop of durable records."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._received, records)

    def close(self) -> None:
        """End every stream and long poll: the server is about to stop."""
        self.closing.set()
        self._wake(self._all)
        for events in self._by_job.values():
            self._wake(events)

    def wake_job(self, job: JobId) -> None:
        """Let those who wait for this job look again."""
        self._wake(self._by_job.get(job, set()))

    def recent(self, after_seq: int) -> list[Recorded] | None:
        """Every record after `after_seq`; None if that reaches further back than memory."""
        if not self._recent or self._recent[0].seq > after_seq + 1:
            return None
        missing = max(0, self._recent[-1].seq - after_seq)
        start = len(self._recent) - missing
        return [self._recent[index] for index in range(start, len(self._recent))]

    @contextmanager
    def watch_job(self, job: JobId) -> Iterator[asyncio.Event]:
        """An event that is set whenever the job may have changed."""
        event = asyncio.Event()
        self._by_job[job].add(event)
        try:
            yield event
        finally:
            self._by_job[job].discard(event)
            if not self._by_job[job]:
                del self._by_job[job]

    @contextmanager
    def watch_all(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever the log has grown."""
        event = asyncio.Event()
        self._all.add(event)
        try:
            yield event
        finally:
            self._all.discard(event)

    def _received(self, records: tuple[Recorded, ...]) -> None:
        if self._recent and self._recent[-1].seq + 1 != records[0].seq:
            self._recent.clear()  # What lies between is in the store.
        self._recent.extend(records)
        self.head_seq = records[-1].seq
        self._wake(self._all)
        if self._by_job:
            for job in {job for record in records for job in jobs_of(record.event)}:
                self.wake_job(job)

    @staticmethod
    def _wake(events: set[asyncio.Event]) -> None:
        for event in events:
            event.set()


async def wait_for(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait until `event` is set, and clear it; False after `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
