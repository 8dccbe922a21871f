"""Routes about what ranks write: pieces of it, and the rest as it comes."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from irongrid.control import requests
from irongrid.control.state import Job, Phase, State
from irongrid.domain.ids import JobId
from irongrid.domain.messages import LogChunk
from irongrid.errors import NotFound
from irongrid.server.api.answers import answer, encoded
from irongrid.server.api.context import Context
from irongrid.server.api.streams import KEEP_ALIVE, KEEP_ALIVE_S, Streams, message
from irongrid.server.feed import wait_for
from irongrid.telemetry.ranklogs import CHUNK_BYTES, read_log

FOLLOW_S = 0.25
READERS = 4
_EPOCH_MOST = 10**9
_OFFSET_MOST = 2**53

Attempt = Annotated[int, Query(ge=0, le=_EPOCH_MOST, description="0 is the newest attempt")]
Rank = Annotated[int, Query(ge=0, le=10**6)]
Offset = Annotated[
    int, Query(ge=-_OFFSET_MOST, le=_OFFSET_MOST, description="below 0: from the end")
]


@dataclass(frozen=True, slots=True)
class _Where:
    """One rank's log, as the state knows it.

    Attributes:
        over: nothing of the attempt runs any more.
        final: no further attempt will come.
    """

    job: JobId
    epoch: int
    newest: int
    over: bool
    final: bool


class LogRoutes:
    """Handlers; `app` says under which paths.

    Paths are made from a known job and from numbers alone, so no request can name another file.
    """

    def __init__(self, context: Context, streams: Streams) -> None:
        self._brain = context.brain
        self._feed = context.feed
        self._home = context.home
        self._streams = streams
        self._threads = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="logs")

    def close(self) -> None:
        """End the reading threads."""
        self._threads.shutdown()

    async def chunk(
        self,
        job: str,
        attempt: Attempt = 0,
        rank: Rank = 0,
        offset: Offset = 0,
        limit: Annotated[int, Query(ge=1, le=CHUNK_BYTES)] = CHUNK_BYTES,
    ) -> Response:
        """A piece of one rank's output."""
        where = await self._where(job, attempt, rank)
        if where.epoch == 0:
            raise NotFound("no_attempt", f"{job} has not run yet", f"see: irongrid why {job}")
        return answer(await self._read(where, rank, offset, limit))

    async def stream(
        self, job: str, attempt: Attempt = 0, rank: Rank = 0, offset: Offset = 0
    ) -> Response:
        """One rank's output as it is written, over all later attempts, until the job is final."""
        await self._where(job, attempt, rank)
        return self._streams.response(self._follow(job, attempt, rank, offset))

    async def _follow(self, job: str, attempt: int, rank: int, offset: int) -> AsyncIterator[str]:
        yield KEEP_ALIVE
        epoch, told, quiet_s = attempt, 0, 0.0
        with self._feed.watch_job(JobId(job)) as changed:
            while not self._feed.closing.is_set():
                changed.clear()
                where = await self._where(job, epoch, rank)
                over = where.final
                if where.epoch:
                    epoch = where.epoch
                    chunk = await self._read(where, rank, offset, CHUNK_BYTES)
                    if chunk.text or offset < 0 or (chunk.ended and told < epoch):
                        offset, quiet_s = chunk.next_offset, 0.0
                        told = epoch if chunk.ended else told
                        yield message(encoded(chunk), kind="log", number=chunk.next_offset)
                    if chunk.text and not chunk.ended:
                        continue
                    if chunk.ended and not attempt and where.newest > epoch:
                        epoch, offset = epoch + 1, 0
                        continue
                    over = chunk.ended and (where.final or bool(attempt))
                if over:
                    return
                if await wait_for(changed, FOLLOW_S if where.epoch else KEEP_ALIVE_S):
                    continue
                quiet_s += FOLLOW_S if where.epoch else KEEP_ALIVE_S
                if quiet_s >= KEEP_ALIVE_S:
                    quiet_s = 0.0
                    yield KEEP_ALIVE

    async def _read(self, where: _Where, rank: int, offset: int, limit: int) -> LogChunk:
        def read() -> LogChunk:
            folder = self._home.job_dir(where.job)
            return read_log(folder, where.epoch, rank, offset, limit, attempt_over=where.over)

        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def _where(self, job: str, attempt: int, rank: int) -> _Where:
        return await self._brain.read(
            lambda state, now_ns: _find(state, requests.find(state, job), attempt, rank)
        )


def _find(state: State, job: Job, attempt: int, rank: int) -> _Where:
    epoch = attempt or job.epoch
    if epoch > job.epoch:
        last = f"the last one is {job.epoch}" if job.epoch else "it has not run yet"
        raise NotFound("unknown_attempt", f"{job.id} has no attempt {attempt}; {last}")
    if rank >= job.spec.resources.sizes[-1]:
        ranks = job.spec.resources.sizes[-1]
        raise NotFound("unknown_rank", f"{job.id} has {ranks} ranks at most, counted from 0")
    current = job.attempt
    over = current is None or current.epoch > epoch or current.phase is Phase.ENDED
    return _Where(job.id, epoch, job.epoch, over, job.state.final)
