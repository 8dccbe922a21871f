import json

import pytest

from irongrid.client.answers import ServerFault, raise_for_answer, read
from irongrid.domain.messages import ReportAnswer, Submitted
from irongrid.errors import (
    Conflict,
    IrongridError,
    NotFound,
    Refused,
    SpecError,
    Unauthorised,
    Unreachable,
)

BODY = json.dumps({"code": "c", "problem": "p", "fix": "f", "details": ["one", "two"]}).encode()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, SpecError),
        (413, SpecError),
        (422, SpecError),
        (401, Unauthorised),
        (403, Unauthorised),
        (404, NotFound),
        (409, Conflict),
        (410, Refused),
        (429, Unreachable),
        (503, Unreachable),
        (500, ServerFault),
    ],
)
def test_each_status_becomes_its_error(status: int, error: type[IrongridError]) -> None:
    with pytest.raises(error) as caught:
        raise_for_answer("http://x", status, BODY)

    assert type(caught.value) is error


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_success_raises_nothing(status: int) -> None:
    raise_for_answer("http://x", status, b"not looked at")


def test_a_refusal_keeps_its_parts() -> None:
    with pytest.raises(Refused) as caught:
        raise_for_answer("http://x", 409, BODY)

    assert (caught.value.code, caught.value.problem, caught.value.fix) == ("c", "p", "f")


def test_every_problem_of_a_wrong_job_arrives() -> None:
    with pytest.raises(SpecError) as caught:
        raise_for_answer("http://x", 400, BODY)

    assert [problem.problem for problem in caught.value.problems] == ["one", "two"]


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"a":1}', b"\xff"])
def test_an_answer_that_is_not_ours_still_becomes_an_error(content: bytes) -> None:
    with pytest.raises(NotFound):
        raise_for_answer("http://x", 404, content)


def test_an_answer_of_another_version_names_what_does_not_fit() -> None:
    with pytest.raises(ServerFault, match="unknown field colour"):
        read(Submitted, {"colour": "red"})
    with pytest.raises(ServerFault, match="accepted_n"):
        read(ReportAnswer, {})
