"""What the API answers, and that every error has one form."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.pace import at_known_pace
from tests.server.conftest import DEADLINE_S


def job(run: str = "true", **more: Any) -> dict[str, Any]:
    return {"run": run, "workdir": "/tmp", **more}


def problem(answer: Any) -> tuple[int, str]:
    """Status and code of an answer that must be an ErrorBody."""
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == {"code", "problem", "fix", "details"}
    return answer.status, answer.json["code"]


def test_a_submitted_job_can_be_listed_shown_and_explained(server: Any) -> None:
    answer = server.call("POST", "/v1/jobs", {"job": job(name="first"), "key": "first"})
    found = answer.json["job_id"]

    assert answer.status == 201
    assert answer.json["name"] == "first"
    assert not answer.json["already"]
    assert found in [row["job_id"] for row in server.call("GET", "/v1/jobs").json["jobs"]]
    assert server.job(found)["spec"]["task"]["argv"] == ["/bin/sh", "-c", "true"]
    assert server.call("GET", f"/v1/jobs/{found}/why").json["job_id"] == found


def test_the_same_key_gives_the_same_job(server: Any) -> None:
    body = {"job": job(name="twice"), "key": "twice"}
    first, second = (server.call("POST", "/v1/jobs", body) for _ in range(2))

    assert first.json["job_id"] == second.json["job_id"]
    assert (first.json["already"], second.json["already"]) == (False, True)


def test_a_key_cannot_be_used_for_another_job(server: Any) -> None:
    server.call("POST", "/v1/jobs", {"job": job(name="a"), "key": "reused"})

    again = server.call("POST", "/v1/jobs", {"job": job(name="b"), "key": "reused"})
    assert problem(again) == (409, "key_reused")


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_has_a_sensible_length(server: Any, key: str) -> None:
    answer = server.call("POST", "/v1/jobs", {"job": job(), "key": key})

    assert problem(answer) == (400, "bad_key")


def test_a_wrong_job_gets_a_line_for_each_problem(server: Any) -> None:
    wrong = job(nmae="x", retries={"max": -1}, resources={"count": 0})
    answer = server.call("POST", "/v1/jobs", {"job": wrong, "key": "wrong"})

    assert problem(answer) == (400, "bad_spec")
    assert len(answer.json["details"]) == 3


def test_a_job_that_can_never_run_is_refused_at_once(server: Any) -> None:
    answer = server.call("POST", "/v1/jobs", {"job": job(resources={"count": 99}), "key": "large"})

    assert problem(answer) == (400, "never_fits")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"job": {}}',
        b'{"job": [], "key": "k"}',
        b'{"job": {}, "key": 1}',
        b'{"job": {}, "key": "k", "more": 1}',
        b'{"job": {"run": "a\\u0000"}, "key": "k"}',
        b'{"job": {"run": "\\ud800"}, "key": "k"}',
        b'{"job": {"run": NaN}, "key": "k"}',
        b'{"job": ' + b"[" * 100_000 + b'}, "key": "k"}',
        b'{"job": ' + b'{"a":' * 100_000 + b'}, "key": "k"}',
        b"\xff",
        b"9" * 100_000,
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_a_body_that_is_no_request_is_refused(server: Any, raw: bytes) -> None:
    def spent_s() -> float:
        before_s = server.processor_time_s()
        assert problem(server.call("POST", "/v1/jobs", raw=raw))[0] == 400
        return float(server.processor_time_s() - before_s)

    assert at_known_pace(spent_s, 0.5) < 0.5


def test_an_error_repeats_no_values(server: Any) -> None:
    body = {"job": job(env={"TOKEN": "hunter2-canary"}, nmae=1), "key": "canary"}

    assert b"hunter2" not in server.call("POST", "/v1/jobs", body).body


def test_a_body_over_the_limit_is_refused_by_its_length(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as raw:
        head = f"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {server.token}"
        raw.sendall(f"{head}\r\ncontent-length: 99999999\r\n\r\n".encode())
        assert b" 413 " in raw.recv(4096)


def test_a_chunked_body_over_the_limit_is_refused_on_the_way(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as raw:
        head = f"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {server.token}"
        raw.sendall(f"{head}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        sent = 0
        answer = b""
        raw.settimeout(0.2)
        while not answer and sent < 64 * 2**20:
            try:
                raw.sendall(chunk)
                sent += 0x10000
                answer = raw.recv(4096) if sent > 2**20 else b""
            except TimeoutError:
                continue
            except OSError:
                break
    assert sent < 8 * 2**20
    assert answer == b"" or b" 413 " in answer


def test_the_rest_of_a_refused_body_is_read_and_the_connection_goes_on(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as raw:
        body = b"x" * 500_000
        head = f"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        for _ in range(3):
            raw.sendall(head.encode() + body)
            answer = http.client.HTTPResponse(raw)
            answer.begin()
            assert answer.status == 401
            assert answer.read().startswith(b'{"code":"unauthorised"')


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 200_000,
        b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\n",
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_no_http_request_gets_a_short_answer(server: Any, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        try:
            client.sendall(raw)
            answer = client.recv(65536)
        except ConnectionError:
            answer = b""  # Closed while the rest was on its way.
    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 2")), answer
    assert server.call("GET", "/healthz").status == 200


def test_a_connection_that_says_nothing_is_closed(start: Any, tmp_path: Path) -> None:
    server = start(tmp_path, head_timeout_s=1.0)
    for said in (b"", b"GET /healthz HTT"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as silent:
            silent.sendall(said)
            assert silent.recv(100) == b""
    assert server.call("GET", "/healthz").status == 200
    server.stop()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nowhere", (404, "no_route")),
        ("GET", "/v1/jobs/", (404, "no_route")),
        ("GET", "/docs", (404, "no_route")),
        ("DELETE", "/v1/jobs", (405, "no_method")),
        ("PUT", "/v1/status", (405, "no_method")),
        ("GET", "/v1/jobs/nope", (404, "unknown_job")),
        ("GET", "/v1/jobs/%00", (404, "unknown_job")),
        ("GET", "/v1/jobs/%ff", (404, "unknown_job")),
        ("GET", "/v1/jobs/..%2f..%2fetc", (404, "no_route")),
        ("GET", "/v1/jobs/nope/why", (404, "unknown_job")),
        ("GET", "/v1/jobs/nope/logs", (404, "unknown_job")),
        ("GET", "/v1/jobs/nope/logs/stream", (404, "unknown_job")),
        ("GET", "/v1/jobs/nope/events", (404, "unknown_job")),
        ("GET", "/v1/events/stream?job=nope", (404, "unknown_job")),
        ("POST", "/v1/jobs/nope/cancel", (404, "unknown_job")),
        ("POST", "/v1/jobs/nope/checkpoint", (404, "unknown_job")),
        ("GET", "/v1/jobs?limit=0", (422, "bad_parameter")),
        ("GET", "/v1/jobs?limit=x", (422, "bad_parameter")),
        ("GET", "/v1/jobs?state=asleep", (400, "bad_state")),
        ("GET", "/v1/events?after=-1", (422, "bad_parameter")),
        ("GET", f"/v1/events?after={10**30}", (422, "bad_parameter")),
        ("GET", "/v1/events?limit=100000", (422, "bad_parameter")),
    ],
)
def test_what_does_not_exist_or_fit_is_said_so(
    server: Any, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert problem(server.call(method, path)) == expected


def test_jobs_come_newest_first_in_pages_without_gaps(server: Any) -> None:
    made = [server.submit("true", name=f"page-{number}") for number in range(5)]
    seen: list[str] = []
    cursor = ""
    while len(seen) < 5:
        page = server.call("GET", f"/v1/jobs?limit=2&cursor={cursor}").json
        seen += [row["job_id"] for row in page["jobs"]]
        cursor = page["next_cursor"]

    assert seen[:5] == made[::-1]
    assert sum(server.call("GET", "/v1/jobs?limit=1").json["counts"].values()) >= 5


def test_jobs_can_be_chosen_by_state(server: Any) -> None:
    cancelled = server.submit("sleep 60", name="to-cancel")
    server.call("POST", f"/v1/jobs/{cancelled}/cancel")
    server.wait_state(cancelled, "cancelled")
    page = server.call("GET", "/v1/jobs?state=cancelled,paused").json

    assert {row["state"] for row in page["jobs"]} == {"cancelled"}


def test_a_cancelled_job_stays_cancelled(server: Any) -> None:
    cancelled = server.submit("sleep 60", name="cancel-twice")
    first = server.call("POST", f"/v1/jobs/{cancelled}/cancel")
    server.wait_state(cancelled, "cancelled")

    assert first.status == 200
    assert server.call("POST", f"/v1/jobs/{cancelled}/cancel").json["state"] == "cancelled"
    assert problem(server.call("POST", f"/v1/jobs/{cancelled}/pause")) == (409, "job_ended")
    assert problem(server.call("POST", f"/v1/jobs/{cancelled}/checkpoint")) == (409, "not_running")


def test_the_status_names_version_engine_policy_and_nodes(server: Any) -> None:
    status = server.call("GET", "/v1/status").json

    assert (status["engine"], status["policy"]) == ("local", "first-come")
    assert [node["devices"] for node in status["nodes"]] == [2]
    assert status["home"] == str(server.home)
    assert status["head_seq"] >= 1


def test_openapi_describes_every_route_by_the_message_classes(server: Any) -> None:
    document = server.call("GET", "/openapi.json").json
    submit = document["paths"]["/v1/jobs"]["post"]

    assert document["openapi"].startswith("3.1")
    assert len(document["paths"]) == 20
    assert submit["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/SubmitRequest"
    }
    assert submit["security"] == [{"user": []}]
    assert "HTTPValidationError" not in json.dumps(document)


def test_metrics_can_be_read_by_prometheus(server: Any) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    server.submit("true", name="measured")
    answer = server.call("GET", "/metrics")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert samples["irongrid_events_total", "job_submitted"] >= 1
    assert samples["irongrid_commit_seconds_count",] >= 1
    assert samples["irongrid_http_requests_total", "POST", "/v1/jobs", "201"] >= 1
    assert ("irongrid_jobs", "queued") in samples
    assert ("irongrid_free_devices",) in samples


def test_events_come_in_order_and_page_by_page(server: Any) -> None:
    submitted = server.submit("true", name="events")
    everything = server.call("GET", "/v1/events?limit=1000").json["events"]
    first = server.call("GET", "/v1/events?limit=1").json["events"]
    rest = server.call("GET", "/v1/events?after=1&limit=2").json["events"]
    own = server.call("GET", f"/v1/jobs/{submitted}/events").json["events"]

    assert [row["seq"] for row in everything] == list(range(1, len(everything) + 1))
    assert first + rest == everything[:3]
    assert first[0]["kind"] == "server_started"
    assert own[0]["kind"] == "job_submitted"
    assert own[0]["body"]["spec"]["name"] == "events"
    assert {row["job_id"] for row in own} == {submitted}
