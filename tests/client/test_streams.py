"""Streams over real sockets: a small server that breaks off where a test says so."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from irongrid.client.api import Client
from irongrid.domain.codec import to_json
from irongrid.domain.messages import EventRow, LogChunk
from irongrid.errors import Unreachable

Answer = Callable[[str, dict[str, str]], list[tuple[int, object]] | None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.server.asked.append((url.path, query))
        messages = self.server.answer(url.path, query)
        if messages is None:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b": keep-alive\n\n")
        for number, value in messages:
            text = f"id: {number}\nevent: x\ndata: {json.dumps(to_json(value))}\n\n"
            self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], _Server]]:
    servers: list[_Server] = []

    def start(answer: Answer) -> _Server:
        server = _Server(answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def event(seq: int) -> EventRow:
    return EventRow(seq=seq, at_ns=seq, kind="x", version=1, job_id="", body={})


def test_events_go_on_from_the_last_one_after_a_break(
    serve: Callable[[Answer], _Server],
) -> None:
    # Three events per connection, and then the server breaks off.
    def answer(path: str, query: dict[str, str]) -> list[tuple[int, object]]:
        after = int(query["after"])
        return [(seq, event(seq)) for seq in range(after + 1, after + 4)]

    server = serve(answer)
    lost: list[Unreachable] = []
    stream = Client(server.address, "t").follow_events(on_lost=lost.append)

    assert [next(stream).seq for _ in range(8)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [query["after"] for _, query in server.asked] == ["0", "3", "6"]
    assert len(lost) == 2


def test_an_event_that_comes_twice_is_told_once(serve: Callable[[Answer], _Server]) -> None:
    server = serve(lambda path, query: [(seq, event(seq)) for seq in (1, 2, 2, 1, 3)])
    stream = Client(server.address, "t").follow_events()

    assert [next(stream).seq for _ in range(3)] == [1, 2, 3]


def test_a_stream_finds_a_server_that_came_back_elsewhere(
    serve: Callable[[Answer], _Server],
) -> None:
    def two(path: str, query: dict[str, str]) -> list[tuple[int, object]]:
        after = int(query["after"])
        return [(after + 1, event(after + 1)), (after + 2, event(after + 2))]

    first, second = serve(two), serve(two)
    address = {"now": first.address}
    client = Client(first.address, "t", endpoint=lambda: (address["now"], "t"))
    stream = client.follow_events()
    next(stream)
    address["now"] = second.address

    assert [next(stream).seq for _ in range(3)] == [2, 3, 4]
    assert second.asked[0][1]["after"] == "2"


def test_a_stream_gives_up_when_its_patience_ends(serve: Callable[[Answer], _Server]) -> None:
    server = serve(lambda path, query: None)
    lost: list[Unreachable] = []
    stream = Client(server.address, "t", patience_s=0.2).follow_events(on_lost=lost.append)

    with pytest.raises(Unreachable):
        next(stream)
    assert len(lost) == 1
    assert len(server.asked) >= 2


def test_a_log_goes_on_at_its_offset_in_the_same_attempt_after_a_break(
    serve: Callable[[Answer], _Server],
) -> None:
    def chunk(offset: int, text: str, attempt: str = "j000001.2") -> tuple[int, LogChunk]:
        return offset, LogChunk(
            attempt=attempt,
            rank=1,
            offset=offset,
            next_offset=offset + len(text),
            dropped_bytes=0,
            text=text,
            ended=False,
        )

    def answer(path: str, query: dict[str, str]) -> list[tuple[int, object]] | None:
        if not path.endswith("/stream"):
            return None  # the look at the job fails: the server is gone
        return [chunk(0, "abc")] if query["offset"] == "0" else [chunk(3, "def")]

    server = serve(answer)
    stream = Client(server.address, "t").follow_log("j000001", rank=1)

    assert [next(stream).text for _ in range(2)] == ["abc", "def"]
    streams = [query for path, query in server.asked if path.endswith("/stream")]
    assert streams == [
        {"rank": "1", "offset": "0", "attempt": "0"},
        {"rank": "1", "offset": "3", "attempt": "2"},
    ]
