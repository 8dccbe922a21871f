"""Routes about the log: pages of events, and events as they happen."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response

from irongrid.control import requests
from irongrid.domain.ids import JobId
from irongrid.domain.messages import EventRow
from irongrid.server.api.answers import answer, encoded
from irongrid.server.api.context import Context
from irongrid.server.api.streams import KEEP_ALIVE, KEEP_ALIVE_S, Streams, message
from irongrid.server.feed import wait_for

PAGE_LIMIT = 1_000
STREAM_PAGE = 256
SEQ_MOST = 2**53

After = Annotated[int, Query(ge=0, le=SEQ_MOST, description="the last `seq` that is known")]
Limit = Annotated[int, Query(ge=1, le=PAGE_LIMIT)]


class EventRoutes:
    """Handlers; `app` says under which paths."""

    def __init__(self, context: Context, streams: Streams) -> None:
        self._brain = context.brain
        self._feed = context.feed
        self._history = context.history
        self._streams = streams

    async def page(self, after: After = 0, limit: Limit = 200) -> Response:
        """Events in order."""
        return answer(await self._history.page(after, limit, None))

    async def of_job(self, job: str, after: After = 0, limit: Limit = 200) -> Response:
        """Events of one job in order."""
        await self._known(job)
        return answer(await self._history.page(after, limit, JobId(job)))

    async def stream(
        self,
        after: After = 0,
        job: Annotated[str, Query(max_length=64)] = "",
        last_event_id: Annotated[str, Header(max_length=32)] = "",
    ) -> Response:
        """Events as they happen, as server-sent events; `after` or `Last-Event-ID` resumes."""
        if job:
            await self._known(job)
        if last_event_id.isdecimal() and last_event_id.isascii():
            after = max(after, min(int(last_event_id), SEQ_MOST))
        return self._streams.response(self._follow(after, JobId(job) if job else None))

    async def _known(self, job: str) -> None:
        await self._brain.read(lambda state, now_ns: requests.find(state, job).id)

    async def _follow(self, after: int, job: JobId | None) -> AsyncIterator[str]:
        yield KEEP_ALIVE
        with self._feed.watch_all() as grown:
            while not self._feed.closing.is_set():
                grown.clear()
                page = await self._history.page(after, STREAM_PAGE, job)
                if page.events:
                    yield "".join(_message(row) for row in page.events)
                    after = page.events[-1].seq
                if len(page.events) == STREAM_PAGE:
                    continue
                after = max(after, page.head_seq)
                if not await wait_for(grown, KEEP_ALIVE_S):
                    yield KEEP_ALIVE


def _message(row: EventRow) -> str:
    return message(encoded(row), kind=row.kind, number=row.seq)
