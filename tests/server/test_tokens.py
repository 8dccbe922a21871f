"""Tokens name who asks, and cannot be made by anybody else."""

import pytest

from irongrid.domain.ids import JobId
from irongrid.server.tokens import AttemptWorker, Tokens, User

TOKENS = Tokens("user-token", b"secret")
JOB = JobId("j000001")


def test_a_token_names_its_holder() -> None:
    assert TOKENS.holder("user-token") == User()
    assert TOKENS.holder(TOKENS.for_attempt(JOB, 3)) == AttemptWorker(job=JOB, epoch=3)


def test_a_token_for_one_attempt_is_none_for_another() -> None:
    name, _, signature = TOKENS.for_attempt(JOB, 1).rpartition(".")

    assert name == "j000001.1"
    assert TOKENS.holder(f"j000001.2.{signature}") is None
    assert TOKENS.holder(f"j000002.1.{signature}") is None


def test_another_secret_makes_other_tokens() -> None:
    assert TOKENS.holder(Tokens("user-token", b"other").for_attempt(JOB, 1)) is None


@pytest.mark.parametrize("token", ["", ".", "..", "user-token ", "j000001.1.", "\xff", "é.1.a"])
def test_anything_else_names_nobody(token: str) -> None:
    assert TOKENS.holder(token) is None
