"""Lines between rank and worker: framed, bounded, checked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irongrid.errors import CodecError
from irongrid.session.lines import (
    CheckpointFailedLine,
    CheckpointLine,
    Hello,
    PhaseLine,
    ProgressLine,
    ReadyLine,
    read_line,
)
from irongrid.session.protocol import MAX_LINE_BYTES, Lines, encode


@given(st.lists(st.dictionaries(st.text(), st.integers())), st.integers(1, 50))
def test_messages_survive_any_cut_of_the_stream(
    messages: list[dict[str, int]], part_bytes: int
) -> None:
    stream = b"".join(encode(message) for message in messages)
    lines = Lines()
    parts = [stream[start : start + part_bytes] for start in range(0, len(stream), part_bytes)]

    assert [message for part in parts for message in lines.feed(part)] == messages


@pytest.mark.parametrize("bad", [b"[1]", b"nonsense", b'"text"', b"", b"\xff", b"[" * 60_000])
def test_what_is_no_object_is_dropped_and_the_next_line_counts(bad: bytes) -> None:
    lines = Lines()

    assert lines.feed(bad + b'\n{"a":1}\n') == [{"a": 1}]


def test_a_line_without_end_takes_no_memory_and_the_next_one_counts() -> None:
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * MAX_LINE_BYTES) == []
        assert len(lines._rest) <= MAX_LINE_BYTES

    assert lines.feed(b'x\n{"a":1}\n') == [{"a": 1}]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ({"t": "hello", "rank": 1, "generation": 2, "pid": 3}, Hello(rank=1, generation=2, pid=3)),
        ({"t": "phase", "name": "eval"}, PhaseLine(name="eval")),
        ({"t": "ready", "resumed_step": 4}, ReadyLine(resumed_step=4)),
        (
            {"t": "progress", "step": 5, "metrics": {"loss": 1}},
            ProgressLine(step=5, metrics={"loss": 1.0}),
        ),
        (
            {"t": "checkpoint", "step": 6, "path": "p", "size_bytes": 1, "written_bytes": 0,
             "age_ns": 2, "stall_ns": 3},
            CheckpointLine(
                step=6, path="p", size_bytes=1, written_bytes=0, age_ns=2, stall_ns=3),
        ),
        (
            {"t": "checkpoint_failed", "step": 7, "code": "disk_full", "message": "m"},
            CheckpointFailedLine(step=7, code="disk_full", message="m"),
        ),
    ],
)  # fmt: skip
def test_a_line_has_one_meaning(message: dict[str, object], line: object) -> None:
    assert read_line(message) == line


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"t": ["hello"]},
        {"t": "unknown"},
        {"t": "phase", "name": "lunch"},
        {"t": "phase"},
        {"t": "progress", "step": -1, "metrics": {}},
        {"t": "progress", "step": 1.5, "metrics": {}},
        {"t": "progress", "step": 1, "metrics": {"loss": "high"}},
        {"t": "hello", "rank": 0, "generation": 1, "pid": 1, "more": 1},
        {"t": "checkpoint", "step": 1, "path": "p" * 5000, "size_bytes": 1, "written_bytes": 0,
         "age_ns": 0, "stall_ns": 0},
    ],
)  # fmt: skip
def test_what_no_rank_may_send_is_refused(message: dict[str, object]) -> None:
    with pytest.raises((CodecError, ValueError)):
        read_line(message)


def test_figures_that_json_cannot_carry_are_left_out() -> None:
    line = read_line(
        {"t": "progress", "step": 1, "metrics": {"loss": float("nan"), "lr": 0.1, "x": 1e999}}
    )

    assert line == ProgressLine(step=1, metrics={"lr": 0.1})


def test_the_number_and_names_of_metrics_are_bounded() -> None:
    many = {f"{number:03}" + "n" * 100: 1.0 for number in range(100)}
    line = read_line({"t": "progress", "step": 1, "metrics": many})

    assert isinstance(line, ProgressLine)
    assert len(line.metrics) == 64
    assert max(map(len, line.metrics)) == 64
