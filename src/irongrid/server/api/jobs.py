"""Routes about jobs: hand in, list, show, explain, and ask to change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from irongrid.control import requests, views
from irongrid.control.explain import explain
from irongrid.control.state import State
from irongrid.domain.event import Event, JobSubmitted
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobState
from irongrid.domain.messages import JobRow, SubmitRequest, Submitted
from irongrid.errors import Conflict
from irongrid.ports import JobEnvironment
from irongrid.server.api.answers import BadRequest, answer, read_json
from irongrid.server.api.context import Context
from irongrid.server.work import Change, Work
from irongrid.spec import ParsedJob, parse_job_document

KEY_CHARS = 200
PAGE_LIMIT = 1_000

Asked = Callable[[State, str], Event | None]


class JobRoutes:
    """Handlers; `app` says under which paths."""

    def __init__(self, context: Context) -> None:
        self._brain = context.brain
        self._feed = context.feed
        self._beats = context.beats

    async def submit(self, request: Request) -> Response:
        """Hand in a job. It is durable once this answers; the same key gives the same job."""
        body = await read_json(request, SubmitRequest)
        if not 0 < len(body.key) <= KEY_CHARS:
            raise BadRequest("bad_key", f"the key must have 1 to {KEY_CHARS} characters", "")
        job = parse_job_document(body.job, source="job")
        return answer(await self._brain.ask(_submission(job, body.key)), 201)

    async def page(
        self,
        state: str = "",
        limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT)] = 50,
        cursor: Annotated[str, Query(max_length=32)] = "",
    ) -> Response:
        """Jobs, newest first; `state` is a comma-separated choice."""
        states = _states(state)
        page = await self._brain.read(
            lambda found, now_ns: views.job_page(found, states, limit, cursor, now_ns)
        )
        rows = tuple(self._beats.row(row) for row in page.jobs)
        return answer(replace(page, jobs=rows))

    async def detail(self, job: str) -> Response:
        """Everything about one job."""
        detail = await self._brain.read(
            lambda state, now_ns: views.job_detail(state, requests.find(state, job), now_ns)
        )
        return answer(self._beats.detail(detail))

    async def why(self, job: str) -> Response:
        """Why the job is where it is, and what would change it."""
        return answer(
            await self._brain.read(
                lambda state, now_ns: explain(state, requests.find(state, job), now_ns)
            )
        )

    async def cancel(self, job: str) -> Response:
        """End the job."""
        return await self._ask(job, requests.cancel)

    async def pause(self, job: str) -> Response:
        """Save, stop, and hold the job back."""
        return await self._ask(job, requests.pause)

    async def resume(self, job: str) -> Response:
        """Put a paused job back in the queue."""
        return await self._ask(job, requests.resume)

    async def checkpoint(self, job: str) -> Response:
        """Ask the running ranks to save soon."""

        def running(state: State, now_ns: int) -> tuple[JobRow, int]:
            found = requests.find(state, job)
            if found.state is not JobState.RUNNING:
                raise Conflict(
                    "not_running",
                    f"{job} is {found.state} and has nothing to save",
                    "wait until it runs",
                )
            return views.job_row(state, found, now_ns), now_ns

        row, now_ns = await self._brain.read(running)
        self._beats.request_save(JobId(job), now_ns)
        self._feed.wake_job(JobId(job))
        return answer(self._beats.row(row))

    async def _ask(self, job: str, asked: Asked) -> Response:
        def change(state: State, now_ns: int) -> Change[JobRow]:
            event = asked(state, job)
            return Change(() if event is None else (event,), row)

        def row(state: State, now_ns: int) -> JobRow:
            return views.job_row(state, requests.find(state, job), now_ns)

        return answer(self._beats.row(await self._brain.ask(change)))


def _submission(parsed: ParsedJob, key: str) -> Work[Submitted]:
    values = parsed.environment

    def change(state: State, now_ns: int) -> Change[Submitted]:
        outcome = requests.submit(state, parsed.spec, key)
        fresh = isinstance(outcome, JobSubmitted)
        job = outcome.job if isinstance(outcome, JobSubmitted) else outcome
        secrets = (JobEnvironment(job=job, values=values),) if fresh and values else ()
        return Change(
            (outcome,) if isinstance(outcome, JobSubmitted) else (),
            lambda state, now_ns: _submitted(state, job, already=not fresh),
            secrets,
        )

    return change


def _submitted(state: State, job_id: JobId, *, already: bool) -> Submitted:
    job = state.jobs[job_id]
    return Submitted(
        job_id=job.id,
        name=job.spec.name,
        state=job.state,
        queue_position=state.queue_position(job.id),
        already=already,
    )


def _states(text: str) -> frozenset[JobState]:
    try:
        return frozenset(JobState(name) for name in text.split(",") if name)
    except ValueError:
        raise BadRequest(
            "bad_state",
            "there is no such job state",
            f"use some of {', '.join(JobState)}, separated by commas",
        ) from None
