"""The FastAPI application: which handler answers where, and the OpenAPI of it all."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from irongrid import __version__
from irongrid.domain.messages import (
    Directive,
    DrainRequest,
    ErrorBody,
    EventPage,
    JobDetail,
    JobPage,
    JobRow,
    LogChunk,
    NodeDetail,
    Reason,
    ReportAnswer,
    ServerStatus,
    ShutdownRequest,
    SubmitRequest,
    Submitted,
    WorkerReport,
)
from irongrid.errors import IrongridError
from irongrid.server.api import answers
from irongrid.server.api.admin import AdminRoutes
from irongrid.server.api.context import Context
from irongrid.server.api.events import EventRoutes
from irongrid.server.api.gate import OPEN_PATHS, WORKER_PREFIX, Gate
from irongrid.server.api.jobs import JobRoutes
from irongrid.server.api.logs import LogRoutes
from irongrid.server.api.nodes import NodeRoutes
from irongrid.server.api.schema import components, reference
from irongrid.server.api.streams import Streams
from irongrid.server.api.workers import WorkerRoutes

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
JSON = "application/json"
SSE = "text/event-stream"
TEXT = "text/plain"

Handler = Callable[..., Awaitable[Response]]
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One path of the API.

    Attributes:
        answer: class of the answer's body; None where it is no JSON of ours.
        body: class of the request's body.
    """

    method: str
    path: str
    handler: Handler
    answer: type | None = None
    body: type | None = None
    status: int = 200
    media: str = JSON


class Api:
    """The application behind its gate."""

    def __init__(self, context: Context) -> None:
        streams = Streams(context.metrics)
        self._logs = LogRoutes(context, streams)
        self._routes = _routes(context, streams, self._logs)
        self.app = FastAPI(
            title="Irongrid",
            version=__version__,
            description="Orchestrator for AI training. Errors always have an ErrorBody.",
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
        )
        for route in self._routes:
            self._add(route)
        self.app.add_api_route("/openapi.json", self._openapi, include_in_schema=False)
        self._add_errors(context)
        hosts = LOOPBACK_NAMES | {context.options.host.strip("[]")}
        self.asgi: ASGIApp = Gate(
            cast(ASGIApp, self.app),
            context.tokens,
            context.metrics,
            context.journal,
            hosts=hosts if context.options.loopback else None,
            log_requests=context.options.log_requests,
        )

    def close(self) -> None:
        """End what the routes have started."""
        self._logs.close()

    def openapi(self) -> Schema:
        """The OpenAPI document."""
        if self.app.openapi_schema is None:
            document = get_openapi(
                title=self.app.title,
                version=self.app.version,
                description=self.app.description,
                routes=self.app.routes,
            )
            used = {ErrorBody} | {
                part for route in self._routes for part in (route.answer, route.body) if part
            }
            parts = document.setdefault("components", {})
            parts["schemas"] = components(sorted(used, key=lambda part: part.__name__))
            parts["securitySchemes"] = {
                "user": {"type": "http", "scheme": "bearer", "description": "the home's token"},
                "worker": {"type": "http", "scheme": "bearer", "description": "of one attempt"},
            }
            self.app.openapi_schema = document
        return self.app.openapi_schema

    async def _openapi(self) -> Response:
        return answers.answer(self.openapi())

    def _add(self, route: Route) -> None:
        extra: Schema = {"security": _security(route.path)}
        if route.body is not None:
            extra["requestBody"] = {
                "required": True,
                "content": {JSON: {"schema": reference(route.body)}},
            }
        self.app.add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            status_code=route.status,
            response_model=None,
            response_class=Response,
            operation_id=f"{route.method.lower()}{route.path.replace('/', '_')}",
            responses=_responses(route),
            openapi_extra=extra,
        )

    def _add_errors(self, context: Context) -> None:
        async def ours(request: Request, problem: Exception) -> Response:
            return answers.refusal(cast(IrongridError, problem))

        async def parameters(request: Request, problem: Exception) -> Response:
            return answers.wrong_parameters(cast(RequestValidationError, problem))

        async def plain(request: Request, problem: Exception) -> Response:
            return answers.plain_http(cast(HTTPException, problem))

        async def fault(request: Request, problem: Exception) -> Response:
            context.journal.error("request_failed", exc_info=problem)
            return answers.our_fault()

        self.app.add_exception_handler(IrongridError, ours)
        self.app.add_exception_handler(RequestValidationError, parameters)
        self.app.add_exception_handler(HTTPException, plain)
        self.app.add_exception_handler(Exception, fault)


def _routes(context: Context, streams: Streams, logs: LogRoutes) -> tuple[Route, ...]:
    jobs, workers, admin = JobRoutes(context), WorkerRoutes(context), AdminRoutes(context)
    events, nodes = EventRoutes(context, streams), NodeRoutes(context)
    job = "/v1/jobs/{job}"
    # The router looks from the top, so what is asked most often stands first.
    return (
        Route("POST", "/v1/jobs", jobs.submit, Submitted, SubmitRequest, 201),
        Route("POST", "/v1/worker/report", workers.report, ReportAnswer, WorkerReport),
        Route("GET", "/v1/worker/directive", workers.directive, Directive),
        Route("GET", "/healthz", admin.health),
        Route("GET", "/v1/status", admin.status, ServerStatus),
        Route("GET", "/metrics", admin.metrics, media=TEXT),
        Route("POST", "/v1/shutdown", admin.shutdown, None, ShutdownRequest, 202),
        Route("GET", "/v1/jobs", jobs.page, JobPage),
        Route("GET", job, jobs.detail, JobDetail),
        Route("GET", f"{job}/why", jobs.why, Reason),
        Route("POST", f"{job}/cancel", jobs.cancel, JobRow),
        Route("POST", f"{job}/pause", jobs.pause, JobRow),
        Route("POST", f"{job}/resume", jobs.resume, JobRow),
        Route("POST", f"{job}/checkpoint", jobs.checkpoint, JobRow),
        Route("GET", f"{job}/events", events.of_job, EventPage),
        Route("GET", f"{job}/logs", logs.chunk, LogChunk),
        Route("GET", f"{job}/logs/stream", logs.stream, media=SSE),
        Route("POST", "/v1/nodes/{node}/drain", nodes.drain, NodeDetail, DrainRequest),
        Route("POST", "/v1/nodes/{node}/undrain", nodes.undrain, NodeDetail),
        Route("GET", "/v1/events", events.page, EventPage),
        Route("GET", "/v1/events/stream", events.stream, media=SSE),
    )


def _security(path: str) -> list[dict[str, list[str]]]:
    if path in OPEN_PATHS:
        return []
    return [{"worker": []}] if path.startswith(WORKER_PREFIX) else [{"user": []}]


_ERRORS = {
    400: "the request is wrong; `details` has one line per problem",
    401: "no valid token",
    403: "the token, or the host name, does not allow this",
    404: "no such thing",
    409: "its state does not allow this; `fenced`: a newer epoch has taken over",
    413: "the body is too large",
    422: "a parameter does not fit",
    503: "not now: repeat the same request later",
}


def _responses(route: Route) -> dict[int | str, Schema]:
    body: Schema = {"type": "string"} if route.media != JSON else {}
    if route.answer is not None:
        body = reference(route.answer)
    found: dict[int | str, Schema] = {
        status: {"description": words, "content": {JSON: {"schema": reference(ErrorBody)}}}
        for status, words in _ERRORS.items()
    }
    found[route.status] = {"description": "done", "content": {route.media: {"schema": body}}}
    return found
