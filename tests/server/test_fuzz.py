"""Schemathesis: whatever anybody sends, the answer is typed, documented, in time, and no 5xx."""

import json
import time
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FAST, SLOW = 12, 120
# It takes milliseconds; only what hangs takes so long.
ANSWER_S = 30.0
ROLES = ("none", "garbage", "user", "attempt", "dead attempt")
# It would end the server that the other tests use; its own test is below.
LEFT_OUT = ("/v1/shutdown", "post")


class Fuzz:
    """Sends generated requests in one role, and judges the answers."""

    def __init__(self, server: Any, role: str) -> None:
        self.server = server
        self.document = server.call("GET", "/openapi.json").json
        self.schema: Any = schemathesis.openapi.from_dict(self.document)
        self.live = server.submit("sleep 300", name="live")
        self.dead = server.submit("true", name="dead")
        server.wait_state(self.live, "running")
        server.wait_state(self.dead, "succeeded")
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = {
            "none": None,
            "garbage": "garbage",
            "user": server.token,
            "attempt": server.attempt_token(self.live, 1),
            "dead attempt": server.attempt_token(self.dead, 1),
        }[role]
        self.job = self.dead if role == "dead attempt" else self.live

    def run(self, examples: int) -> int:
        """Try every operation; how many requests were sent."""
        sent = 0
        for found in self.schema.get_all_operations():
            operation = found.ok()
            if (operation.path, operation.method) == LEFT_OUT:
                continue

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(), aimed=st.booleans())
            def probe(case: Any, aimed: bool) -> None:
                nonlocal sent
                if aimed:
                    self._aim(case)
                self._send(case)
                sent += 1

            probe()
        return sent

    def _aim(self, case: Any) -> None:
        """Name something that exists, so that more than the first check is reached."""
        if case.path_parameters and "job" in case.path_parameters:
            case.path_parameters["job"] = self.job
        if case.path == "/v1/worker/directive":
            case.query = {**(case.query or {}), "node": "n0"}
        if isinstance(case.body, dict):
            who = {"job": self.job, "epoch": 1, "node": "n0"}
            if "facts" in case.body and isinstance(case.body["facts"], list):
                facts = [{**f, **who} for f in case.body["facts"] if isinstance(f, dict)]
                case.body = {**case.body, **who, "facts": facts}

    def _send(self, case: Any) -> None:
        wanted = case.as_transport_kwargs(base_url=f"http://127.0.0.1:{self.server.port}")
        headers = {k: v for k, v in wanted.pop("headers").items() if k.lower() != "authorization"}
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        started = time.monotonic()
        try:
            answer = self.session.request(
                **wanted, headers=headers, stream=True, timeout=ANSWER_S, allow_redirects=False
            )
        except (requests.exceptions.InvalidHeader, UnicodeError):
            return  # The client itself refuses to send it.
        with answer:
            self._judge(case, answer, time.monotonic() - started)

    def _judge(self, case: Any, answer: requests.Response, duration_s: float) -> None:
        told = f"{case.method} {case.formatted_path} {case.query} {case.body!r:.300}"
        assert answer.status_code < 500, (told, answer.text)
        assert duration_s < ANSWER_S, (told, duration_s)
        media = answer.headers["content-type"].partition(";")[0]
        if media == "text/event-stream":
            return
        content = answer.content
        if answer.status_code >= 400:
            assert media == "application/json", told
            assert set(json.loads(content)) == {"code", "problem", "fix", "details"}, told
        documented = self.document["paths"][case.path].get(case.method.lower(), {})
        if documented:
            responses = documented["responses"]
            assert str(answer.status_code) in responses, (told, answer.status_code)
            assert media in responses[str(answer.status_code)]["content"], (told, media)


@pytest.mark.parametrize("role", ROLES)
def test_no_request_breaks_the_server(fuzzed: Any, role: str) -> None:
    fuzz = Fuzz(fuzzed, role)
    inside = role in ("user", "attempt", "dead attempt")

    assert fuzz.run(FAST if inside else 3) > 20
    assert fuzzed.call("GET", "/healthz").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_no_request_breaks_the_server_in_a_long_run(fuzzed: Any, role: str) -> None:
    assert Fuzz(fuzzed, role).run(SLOW) > 300
    assert fuzzed.call("GET", "/healthz").status == 200


@pytest.fixture(scope="module")
def fuzzed(starter: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with room for the jobs of all roles."""
    return starter(tmp_path_factory.mktemp("fuzzed"), nodes="1x64", long_poll_s=0.2)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"stop_jobs": 1}', b'{"stop": true}', b"null"])
def test_a_shutdown_that_is_not_understood_stops_nothing(fuzzed: Any, body: bytes) -> None:
    assert fuzzed.call("POST", "/v1/shutdown", raw=body).status == 400
    assert fuzzed.call("GET", "/healthz").status == 200
