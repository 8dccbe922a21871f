"""Server-sent events: complete, in order, resumable, and ended cleanly."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import DEADLINE_S


@contextmanager
def stream(server: Any, path: str, **headers: str) -> Iterator[Iterator[dict[str, str]]]:
    """The events of one stream as they come."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)
    sent = {"authorization": f"Bearer {server.token}", **headers}
    connection.request("GET", path, headers=sent)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    assert answer.getheader("content-type", "").startswith("text/event-stream")

    def events() -> Iterator[dict[str, str]]:
        event: dict[str, str] = {}
        for line in answer:
            text = line.decode().rstrip("\n")
            if text == "" and event:
                yield event
                event = {}
            elif text and not text.startswith(":"):
                name, _, value = text.partition(": ")
                event[name] = value

    try:
        yield events()
    finally:
        connection.close()


def take(events: Iterator[dict[str, str]], count: int) -> list[dict[str, str]]:
    return [next(events) for _ in range(count)]


def test_a_stream_gives_the_past_and_then_what_happens(server: Any) -> None:
    server.submit("true", name="past")
    head = server.call("GET", "/v1/status").json["head_seq"]
    with stream(server, "/v1/events/stream?after=0") as events:
        past = take(events, head)
        submitted = server.submit("true", name="live")
        live = next(events)
        while live["event"] != "job_submitted":
            live = next(events)

    assert [int(event["id"]) for event in past] == list(range(1, head + 1))
    assert json.loads(live["data"])["job_id"] == submitted
    assert json.loads(live["data"])["body"]["spec"]["name"] == "live"


@pytest.mark.parametrize("by_header", [True, False])
def test_a_stream_goes_on_where_the_last_one_ended(server: Any, by_header: bool) -> None:
    server.submit("true", name="resume")
    path, header = "/v1/events/stream", {"last-event-id": "2"}
    if not by_header:
        path, header = "/v1/events/stream?after=2", {}
    with stream(server, path, **header) as events:
        assert next(events)["id"] == "3"


def test_a_stream_of_one_job_leaves_all_others_out(server: Any) -> None:
    one = server.submit("true", name="one")
    server.submit("true", name="other")
    server.wait_state(one, "succeeded")
    with stream(server, f"/v1/events/stream?job={one}") as events:
        found = [json.loads(event["data"]) for event in take(events, 4)]

    assert found[0]["kind"] == "job_submitted"
    assert {row["job_id"] for row in found} == {one}


def test_a_log_stream_follows_the_job_to_its_end(server: Any, tmp_path: Path) -> None:
    job = server.submit(
        f"echo line 1; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo line 2"
    )
    with stream(server, f"/v1/jobs/{job}/logs/stream") as events:
        chunks = [json.loads(next(events)["data"])]
        (tmp_path / "go").touch()
        chunks += [json.loads(event["data"]) for event in events]

    assert chunks[0]["text"] == "line 1\n"
    assert "".join(chunk["text"] for chunk in chunks) == "line 1\nline 2\n"
    assert chunks[-1]["ended"]
    assert server.job(job)["row"]["state"] == "succeeded"


def test_a_log_stream_goes_on_with_the_next_attempt(server: Any, tmp_path: Path) -> None:
    once = f"if [ -e {tmp_path}/paused ]; then echo second; else echo first; sleep 300; fi"
    job = server.submit(once)
    texts: list[str] = []
    with stream(server, f"/v1/jobs/{job}/logs/stream") as events:
        texts.append(json.loads(next(events)["data"])["text"])
        (tmp_path / "paused").touch()
        server.call("POST", f"/v1/jobs/{job}/pause")
        server.wait_state(job, "paused")
        server.call("POST", f"/v1/jobs/{job}/resume")
        texts += [json.loads(event["data"])["text"] for event in events]

    assert "".join(texts) == "first\nsecond\n"


def test_streams_end_when_the_server_stops(start: Any, tmp_path: Path) -> None:
    server = start(tmp_path)
    job = server.submit("sleep 60")
    server.wait_state(job, "running")
    ended = threading.Event()
    with (
        stream(server, "/v1/events/stream") as events,
        stream(server, f"/v1/jobs/{job}/logs/stream") as log,
    ):

        def read() -> None:
            for _ in events:
                pass
            for _ in log:
                pass
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        server.call("POST", f"/v1/jobs/{job}/cancel")
        server.wait_state(job, "cancelled")
        assert server.stop() == 0
        assert ended.wait(DEADLINE_S)


def test_a_log_offset_below_zero_counts_from_the_end(server: Any) -> None:
    job = server.submit("printf 0123456789")
    server.wait_state(job, "succeeded")
    path = f"/v1/jobs/{job}/logs"

    assert server.call("GET", f"{path}?offset=-4").json["text"] == "6789"
    assert server.call("GET", f"{path}?offset=8").json["text"] == "89"
    assert server.call("GET", f"{path}?offset=0&limit=4").json["next_offset"] == 4
    assert server.call("GET", f"{path}?attempt=2").json["code"] == "unknown_attempt"
    assert server.call("GET", f"{path}?rank=5").json["code"] == "unknown_rank"
    assert server.call("GET", f"{path}?rank=-1").status == 422
    assert server.call("GET", f"{path}?attempt=../1").status == 422
