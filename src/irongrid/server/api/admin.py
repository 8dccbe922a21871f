"""Routes about the server itself."""

from starlette.requests import Request
from starlette.responses import Response

from irongrid import __version__
from irongrid.control import views
from irongrid.control.state import State
from irongrid.domain.messages import ServerStatus, ShutdownRequest
from irongrid.scheduler import first_come
from irongrid.server.api.answers import answer, read_json
from irongrid.server.api.context import Context


class AdminRoutes:
    """Handlers; `app` says under which paths."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def health(self) -> Response:
        """Whether the server answers. Open to everybody who can connect."""
        return Response('{"ok":true}', media_type="application/json")

    async def status(self) -> Response:
        """The server and its fleet."""
        return answer(await self._context.brain.read(self._status))

    async def metrics(self) -> Response:
        """Prometheus metrics."""
        metrics = self._context.metrics
        counts, free = await self._context.brain.read(
            lambda state, now_ns: (views.counts(state), _free_devices(state))
        )
        for name, count in counts.items():
            metrics.jobs.labels(name).set(count)
        metrics.free_devices.set(free)
        metrics.queue_depth.set(self._context.brain.depth())
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def shutdown(self, request: Request) -> Response:
        """Stop the server; running jobs go on without it unless `stop_jobs`."""
        body = await read_json(request, ShutdownRequest)
        self._context.stop(body.stop_jobs)
        return Response("{}", 202, media_type="application/json")

    def _status(self, state: State, now_ns: int) -> ServerStatus:
        context = self._context
        return ServerStatus(
            version=__version__,
            server_epoch=context.server_epoch,
            head_seq=state.seq,
            started_at_ns=context.started_at_ns,
            engine=context.engine_name,
            policy=first_come.NAME,
            store=context.store_name,
            home=str(context.home.root),
            nodes=views.node_rows(state),
            counts=views.counts(state),
        )


def _free_devices(state: State) -> int:
    return sum(row.free_devices for row in views.node_rows(state))
