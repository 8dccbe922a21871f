"""Domain values through JSON and back."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from irongrid.domain import event
from irongrid.domain.codec import canonical, from_json, to_json
from irongrid.domain.decision import Decision, Wait, WaitCode
from irongrid.domain.device import Placement
from irongrid.domain.event import Decided, Event, GangFailed, JobSubmitted
from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.ids import JobId, job_id, split_attempt_id
from irongrid.domain.job import JobSpec, RunTask
from irongrid.errors import CodecError

SUBMITTED = JobSubmitted(
    job=JobId("j000001"),
    spec=JobSpec(name="a", task=RunTask(argv=("true",)), workdir="/"),
    key="k",
)


def test_an_event_survives_the_trip() -> None:
    decision = Decision(
        saw_seq=3, policy="p", actions=(Wait(job=JobId("j1"), code=WaitCode.BEHIND),)
    )
    for value in (SUBMITTED, Decided(decision=decision)):
        again: object = from_json(type(value), json.loads(canonical(to_json(value))))
        assert again == value


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"key": 1}, "key: expected str, got int"),
        ({"extra": 1}, "unknown field extra"),
        ({"spec": None}, "spec: expected an object"),
        ({"spec": {"name": "x"}}, "spec: field task is missing"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(change: dict[str, object], path: str) -> None:
    with pytest.raises(CodecError, match=path):
        from_json(JobSubmitted, {**to_json(SUBMITTED), **change})


def test_booleans_are_no_numbers() -> None:
    with pytest.raises(CodecError, match="expected int, got bool"):
        from_json(Decision, {"saw_seq": True, "policy": "", "actions": []})


def test_an_unknown_kind_in_a_union_is_refused() -> None:
    with pytest.raises(CodecError, match="kind is one of"):
        from_json(Decision, {"saw_seq": 1, "policy": "", "actions": [{"kind": "dance"}]})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_whatever_json_comes_instead_raises_a_codec_error(value: object) -> None:
    for target in (JobSubmitted, GangFailed, Placement):
        with pytest.raises(CodecError):
            from_json(target, value)


def test_every_event_kind_has_its_own_name_and_a_version() -> None:
    kinds = [cls.kind for cls in Event.__args__]

    assert len(set(kinds)) == len(kinds)
    assert all(cls.version >= 1 for cls in Event.__args__)
    assert {cls.__name__ for cls in Event.__args__} <= set(vars(event))


@given(st.lists(st.integers(0, 32**6 - 1), min_size=2))
def test_job_ids_sort_in_order_of_submission(numbers: list[int]) -> None:
    assert sorted(map(job_id, numbers)) == [job_id(number) for number in sorted(numbers)]


@pytest.mark.parametrize("text", ["", "j000001", ".1", "j000001.x", "j000001."])
def test_what_is_no_attempt_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an attempt id"):
        split_attempt_id(text)


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (Failure(code=FailureCode.SIGNAL, signal="SIGKILL", message=""), "infrastructure"),
        (Failure(code=FailureCode.SIGNAL, signal="SIGSEGV", message=""), "user"),
        (Failure(code=FailureCode.EXIT_CODE, exit_code=1, message=""), "user"),
        (Failure(code=FailureCode.OUT_OF_MEMORY, message=""), "user"),
        (Failure(code=FailureCode.HANG, message=""), "infrastructure"),
        (Failure(code=FailureCode.WORKER_LOST, message=""), "infrastructure"),
        (Failure(code=FailureCode.LOST_PEER, exit_code=76, message=""), "infrastructure"),
    ],
)
def test_a_failure_knows_whose_fault_it_is(failure: Failure, cause: str) -> None:
    assert failure.cause == cause
