"""What every request passes first: the host it names, the token it holds, and the count of it.

Denies by default: a path is open only if it is listed, belongs to workers if it is under
`/v1/worker/`, and else to the user.
"""

from collections.abc import MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from irongrid.errors import Refused, Unauthorised
from irongrid.server.api.answers import Forbidden, refusal
from irongrid.server.journal import Journal
from irongrid.server.metrics import Metrics
from irongrid.server.tokens import AttemptWorker, Tokens, User

OPEN_PATHS = frozenset({"/healthz"})
WORKER_PREFIX = "/v1/worker/"
# Answered when there is news, so their time says nothing of the server's speed.
WAITING_ROUTES = frozenset(
    {"/v1/worker/directive", "/v1/events/stream", "/v1/jobs/{job}/logs/stream"}
)
METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"})

Message = MutableMapping[str, Any]


class Gate:
    """ASGI: checks, then passes on to `app`."""

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens,
        metrics: Metrics,
        journal: Journal,
        *,
        hosts: frozenset[str] | None,
        log_requests: bool,
    ) -> None:
        """
        Args:
            hosts: names under which clients may call this server; None is any. On loopback this
                keeps a web page from reaching it by a DNS name of the page's owner.
        """
        self._app = app
        self._tokens = tokens
        self._metrics = metrics
        self._journal = journal
        self._hosts = hosts
        self._log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._check(scope)
        except Refused as problem:
            await refusal(problem)(scope, receive, watch)
        else:
            await self._app(scope, receive, watch)
        finally:
            self._count(scope, status, perf_counter() - started)

    def _check(self, scope: Scope) -> None:
        host = token = ""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1")
            elif name == b"authorization":
                token = value.decode("latin-1")
        if self._hosts is not None and hostname(host) not in self._hosts:
            raise Forbidden(
                "wrong_host",
                "this server is not known by the host name of the request",
                "use the address that `irongrid up` printed",
            )
        if scope["path"] in OPEN_PATHS:
            return
        scope["holder"] = self._holder(token, for_worker=scope["path"].startswith(WORKER_PREFIX))

    def _holder(self, header: str, *, for_worker: bool) -> User | AttemptWorker:
        scheme, _, token = header.partition(" ")
        holder = self._tokens.holder(token.strip()) if scheme.lower() == "bearer" else None
        if holder is None:
            raise Unauthorised(
                "unauthorised",
                "this needs a valid bearer token",
                "send the content of the file `token` in the server's home folder",
            )
        if isinstance(holder, AttemptWorker) is not for_worker:
            wanted = "the token of a job's worker" if for_worker else "the user's token"
            raise Forbidden("forbidden", f"this needs {wanted}", "use the right token")
        return holder

    def _count(self, scope: Scope, status: int, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", "") or "none"
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        if route not in WAITING_ROUTES:
            self._metrics.request_s.observe(duration_s)
        if self._log_requests:
            self._journal.info(
                "request",
                method=method,
                route=route,
                status=status,
                duration_ms=round(duration_s * 1e3, 2),
            )


def hostname(host: str) -> str:
    """The name in a Host header, without its port; empty if it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
