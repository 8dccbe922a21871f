"""Routes about nodes: take one out of use, and back into it."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from irongrid.control import requests, views
from irongrid.control.state import State
from irongrid.domain.event import Event
from irongrid.domain.messages import DrainRequest, NodeDetail
from irongrid.server.api.answers import answer, read_json
from irongrid.server.api.context import Context
from irongrid.server.work import Change


class NodeRoutes:
    """Handlers; `app` says under which paths."""

    def __init__(self, context: Context) -> None:
        self._brain = context.brain

    async def drain(self, request: Request, node: str) -> Response:
        """Give the node no new work. Asking again is safe, also for more: with `leave`."""
        body = await read_json(request, DrainRequest)
        return await self._ask(node, lambda state: requests.drain(state, node, leave=body.leave))

    async def undrain(self, node: str) -> Response:
        """Give the node work again."""
        return await self._ask(node, lambda state: requests.undrain(state, node))

    async def _ask(self, node: str, asked: Callable[[State], Event | None]) -> Response:
        def change(state: State, now_ns: int) -> Change[NodeDetail]:
            event = asked(state)
            return Change(() if event is None else (event,), detail)

        def detail(state: State, now_ns: int) -> NodeDetail:
            return views.node_detail(state, requests.find_node(state, node))

        return answer(await self._brain.ask(change))
