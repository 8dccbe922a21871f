"""Server-sent events: their text form, and a bound on how many streams are open at once.

A stream holds no buffer of its own: it reads a page, waits until the client has taken it, and reads
the next one from where it stands.
"""

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

from irongrid.server.brain import Unavailable
from irongrid.server.metrics import Metrics

KEEP_ALIVE = ": keep-alive\n\n"
KEEP_ALIVE_S = 15.0
OPEN_STREAMS = 256


class Streams:
    """Opens and counts streams."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._open = 0

    def response(self, content: AsyncIterator[str]) -> StreamingResponse:
        """Stream this text to the client.

        Raises:
            Unavailable: as many streams are open as the server will have.
        """
        if self._open >= OPEN_STREAMS:
            raise Unavailable("too_many_streams", f"{self._open} streams are open", "close some")
        return StreamingResponse(
            self._counted(content),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _counted(self, content: AsyncIterator[str]) -> AsyncIterator[str]:
        self._open += 1
        self._metrics.streams.inc()
        try:
            async for text in content:
                yield text
        finally:
            self._open -= 1
            self._metrics.streams.dec()


def message(data: str, *, kind: str, number: int) -> str:
    """One event of a stream. JSON text has no line breaks, so its data is one line."""
    return f"id: {number}\nevent: {kind}\ndata: {data}\n\n"
