"""Who may ask what: every route, every role, every state of a token."""

import socket
from typing import Any

import pytest
from tests.server.conftest import DEADLINE_S

ROUTES = [
    ("GET", "/v1/status"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/j000001"),
    ("GET", "/v1/jobs/j000001/why"),
    ("POST", "/v1/jobs/j000001/cancel"),
    ("POST", "/v1/jobs/j000001/pause"),
    ("POST", "/v1/jobs/j000001/resume"),
    ("POST", "/v1/jobs/j000001/checkpoint"),
    ("GET", "/v1/jobs/j000001/events"),
    ("GET", "/v1/jobs/j000001/logs"),
    ("GET", "/v1/jobs/j000001/logs/stream"),
    ("GET", "/v1/events"),
    ("GET", "/v1/events/stream"),
    ("POST", "/v1/shutdown"),
    ("GET", "/nowhere"),
    ("GET", "/v1/worker"),
]
WORKER_ROUTES = [("POST", "/v1/worker/report"), ("GET", "/v1/worker/directive?node=n0")]
BAD_TOKENS = [None, "", "garbage", "j000001.1.00", "\xe9", "user user"]


@pytest.mark.parametrize(("method", "path"), ROUTES + WORKER_ROUTES)
def test_nobody_gets_in_without_a_valid_token(server: Any, method: str, path: str) -> None:
    for token in BAD_TOKENS:
        answer = server.call(method, path, token=token)

        assert answer.status == 401, (token, answer.body)
        assert answer.json["code"] == "unauthorised"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_workers_token_opens_nothing_of_the_users(server: Any, method: str, path: str) -> None:
    answer = server.call(method, path, token=server.attempt_token("j000001", 1))

    assert (answer.status, answer.json["code"]) == (403, "forbidden")


@pytest.mark.parametrize(("method", "path"), WORKER_ROUTES)
def test_the_users_token_opens_nothing_of_the_workers(server: Any, method: str, path: str) -> None:
    answer = server.call(method, path)

    assert (answer.status, answer.json["code"]) == (403, "forbidden")


def test_other_schemes_than_bearer_are_no_token(server: Any) -> None:
    for scheme in ("Basic", "", "Token"):
        headers = {"authorization": f"{scheme} {server.token}"}
        assert server.call("GET", "/v1/status", token=None, headers=headers).status == 401


def test_health_needs_no_token(server: Any) -> None:
    answer = server.call("GET", "/healthz", token=None)

    assert (answer.status, answer.json) == (200, {"ok": True})


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "a:b:c"])
def test_a_page_of_another_site_cannot_reach_the_server_by_a_name_of_its_own(
    server: Any, host: str
) -> None:
    for path in ("/healthz", "/v1/status"):
        answer = server.call("GET", path, headers={"host": host})
        assert (answer.status, answer.json["code"]) == (403, "wrong_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]", "[::1]:9"])
def test_the_servers_own_names_are_fine(server: Any, host: str) -> None:
    assert server.call("GET", "/healthz", headers={"host": host}).status == 200


def test_a_second_host_header_does_not_smuggle_a_name_in(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n")
        assert b"200 OK" not in raw.recv(4096).split(b"\r\n")[0]
