import pytest

from irongrid.cli.failures import (
    NOT_REACHABLE,
    OUR_FAULT,
    THE_ANSWER_IS_NO,
    YOUR_INPUT,
    shown,
)
from irongrid.client.answers import ServerFault
from irongrid.errors import (
    Conflict,
    IrongridError,
    NotFound,
    Problem,
    Refused,
    SpecError,
    StoreHeld,
    Unauthorised,
    Unreachable,
)

WRONG = Problem(field="train.steps", problem="is no number", fix="write 100", source="a", line=3)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (Conflict("over", "it has ended"), THE_ANSWER_IS_NO),
        (Refused("no", "no"), THE_ANSWER_IS_NO),
        (StoreHeld("pid 7"), THE_ANSWER_IS_NO),
        (SpecError([WRONG]), YOUR_INPUT),
        (NotFound("unknown_job", "no such job"), YOUR_INPUT),
        (Unreachable("http://x", "no answer"), NOT_REACHABLE),
        (Unauthorised("no_token", "no token"), NOT_REACHABLE),
        (ServerFault("it failed"), OUR_FAULT),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: IrongridError, exit_code: int) -> None:
    assert shown(error).exit_code == exit_code


def test_one_problem_is_said_with_its_place_and_the_way_out() -> None:
    assert shown(SpecError([WRONG])).lines() == [
        "irongrid: a:3: train.steps: is no number",
        "  -> write 100",
    ]


def test_several_problems_come_in_one_report() -> None:
    text = "\n".join(shown(SpecError([WRONG, WRONG])).lines())

    assert text.startswith("irongrid: 2 problems\n")
    assert text.count("a:3: train.steps: is no number") == 2


def test_programs_get_the_parts_of_a_problem() -> None:
    error = shown(SpecError([WRONG, WRONG])).as_json()["error"]

    assert error["details"][0] == {
        "source": "a",
        "line": 3,
        "field": "train.steps",
        "problem": "is no number",
        "fix": "write 100",
    }
