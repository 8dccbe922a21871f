"""Bodies in and out."""

import json
from typing import Any

import pytest

from irongrid.errors import (
    CodecError,
    Conflict,
    Fenced,
    IrongridError,
    NotFound,
    Problem,
    Refused,
    SpecError,
    StoreError,
    Unauthorised,
)
from irongrid.server.api.answers import BadRequest, answer, parse_json, refusal
from irongrid.server.brain import Unavailable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 500_000,
        b'{"a":' * 200_000,
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b"9" * 5_000,
        str(2**63).encode(),
        b"[-99999999999999999999]",
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b'["a\\u0000b"]',
        b'"a\x00b"',
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_cannot_be_kept_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_json(body)


@pytest.mark.parametrize("value", ["a\\u0000b", "𝄞 é \\", {"x": [1, 2.5, None, True]}, -(2**62)])
def test_everything_else_comes_through_unchanged(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (Unauthorised("u", "p"), 401),
        (NotFound("n", "p"), 404),
        (Conflict("c", "p"), 409),
        (Fenced("fenced", "p"), 409),
        (Refused("r", "p"), 400),
        (CodecError("a.b", "p"), 400),
        (StoreError("p"), 503),
        (Unavailable("busy", "p"), 503),
    ],
)
def test_an_error_of_ours_has_its_status_and_words(problem: IrongridError, status: int) -> None:
    response = refusal(problem)

    assert response.status_code == status
    assert set(json.loads(bytes(response.body))) == {"code", "problem", "fix", "details"}


def test_each_problem_of_a_spec_is_a_line() -> None:
    problems = [Problem(field=f"f{i}", problem="is wrong", fix="Mend it") for i in range(3)]
    body = json.loads(bytes(refusal(SpecError(problems)).body))

    assert body["code"] == "bad_spec"
    assert body["details"] == [f"<input>: f{i}: is wrong. Mend it" for i in range(3)]


def test_answers_are_ascii_whatever_a_job_has_written() -> None:
    assert bytes(answer({"text": "\ud800 é"}).body) == b'{"text":"\\ud800 \\u00e9"}'
