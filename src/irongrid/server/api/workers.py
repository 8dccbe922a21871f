"""Routes for the workers of attempts: news in, directives out."""

import asyncio
from dataclasses import replace
from typing import Annotated, cast

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from irongrid.control import requests
from irongrid.control.commands import directive
from irongrid.control.state import State
from irongrid.domain.event import ProgressMade, WorkerFact
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.messages import Directive, ReportAnswer, WorkerReport
from irongrid.errors import Refused
from irongrid.server.api.answers import Forbidden, answer, read_json
from irongrid.server.api.context import Context
from irongrid.server.beats import finite
from irongrid.server.feed import wait_for
from irongrid.server.tokens import AttemptWorker
from irongrid.server.work import Change

FACTS = 1_000
# Directive versions of the state are spread so far that requests to save fit between two.
SAVES_PER_VERSION = 1_000


class WorkerRoutes:
    """Handlers; `app` says under which paths."""

    def __init__(self, context: Context) -> None:
        self._brain = context.brain
        self._feed = context.feed
        self._beats = context.beats
        self._long_poll_s = context.options.long_poll_s

    async def report(self, request: Request) -> Response:
        """A worker's beat and facts. What the answer accepts is durable."""
        holder = cast(AttemptWorker, request.scope["holder"])
        body = await read_json(request, WorkerReport, finite=False)
        if (body.job, body.epoch) != (holder.job, holder.epoch):
            raise Forbidden("forbidden", "a report of another attempt", "use its own token")
        if len(body.facts) > FACTS:
            raise Refused("too_many_facts", f"at most {FACTS} facts go in one report")
        news = replace(
            body,
            beat=replace(body.beat, metrics=finite(body.beat.metrics)),
            facts=tuple(_storable(fact) for fact in body.facts),
        )

        def change(state: State, now_ns: int) -> Change[Directive]:
            facts = requests.report(state, news)
            return Change(facts, lambda state, now_ns: self._directive(state, holder, news.node))

        wanted = await self._brain.ask(change)
        self._beats.keep(news.job, news.epoch, news.beat)
        accepted_n = max((fact.n for fact in news.facts), default=0)
        return answer(ReportAnswer(accepted_n=accepted_n, directive=wanted))

    async def directive(
        self,
        request: Request,
        node: Annotated[str, Query(max_length=255)],
        version: Annotated[int, Query(ge=0, le=2**53)] = 0,
    ) -> Response:
        """What the worker should be doing; waits for a newer version than the one it has."""
        holder = cast(AttemptWorker, request.scope["holder"])
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._long_poll_s
        with self._feed.watch_job(holder.job) as changed:
            first = wanted = await self._now(holder, node)
            while wanted.version <= version and wanted == first:
                left_s = deadline - loop.time()
                if self._feed.closing.is_set() or not await wait_for(changed, left_s):
                    break
                wanted = await self._now(holder, node)
        return answer(wanted)

    async def _now(self, holder: AttemptWorker, node: str) -> Directive:
        return await self._brain.read(
            lambda state, now_ns: self._directive(state, holder, NodeId(node))
        )

    def _directive(self, state: State, holder: AttemptWorker, node: NodeId) -> Directive:
        wanted = directive(state, JobId(holder.job), holder.epoch, node)
        saves = self._beats.saves(holder.job)
        return replace(
            wanted,
            version=wanted.version * SAVES_PER_VERSION + saves.count % SAVES_PER_VERSION,
            checkpoint=saves.number,
        )


def _storable(fact: WorkerFact) -> WorkerFact:
    if isinstance(fact, ProgressMade):
        return replace(fact, metrics=finite(fact.metrics))
    return fact
