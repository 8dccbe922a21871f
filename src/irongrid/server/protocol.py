"""HTTP on one connection, with bounds that hold before anybody has shown a token."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from irongrid.domain.messages import ErrorBody
from irongrid.server.api.answers import BODY_BYTES, encoded

HEAD_BYTES = 64 * 2**10


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request head is too long, or does not come, or never ends.

    Attributes:
        head_timeout_s: longest time from the start of a connection, or of a request on it, to the
            request's last header.
    """

    head_timeout_s = 30.0
    _awaited: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _unread_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected, and owes a request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._head_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The request's head is there."""
        self._head_came()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._awaited is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.send_400_response("the head of the request is too long")
        elif self.cycle is not None and self.cycle.response_complete:
            # The rest of a body that was refused: a client may finish its sentence, not more.
            self._unread_bytes += len(data)
            if self._unread_bytes > BODY_BYTES:
                self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of all our errors, and close."""
        body = encoded(ErrorBody(code="bad_http", problem=msg)).encode()
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: " + str(len(body)).encode() + b"\r\n\r\n"
        )
        self.transport.write(head + body)
        self.transport.close()

    def _await_head(self) -> None:
        self._head_came()
        self._head_bytes = self._unread_bytes = 0
        self._awaited = self.loop.call_later(self.head_timeout_s, self._too_slow)

    def _head_came(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _too_slow(self) -> None:
        self._awaited = None
        self.transport.close()


def bounded_protocol(head_timeout_s: float) -> type[asyncio.Protocol]:
    """The protocol with this bound, as uvicorn wants it: a class."""
    attributes: dict[str, Any] = {"head_timeout_s": head_timeout_s}
    return cast(type[asyncio.Protocol], type("Bounded", (BoundedProtocol,), attributes))
