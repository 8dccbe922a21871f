"""Measured steps from a CSV: read strictly, and what they teach."""

from pathlib import Path

import pytest
from tests.cli.plan.samples import node_of

from irongrid.cost.step import step_time
from irongrid.errors import SpecError
from irongrid.planner.question import Question
from irongrid.sdk.measured import calibrated, measured_points
from irongrid.sdk.plan import ask, shipped_coefficients

HEAD = "gpus,gbs,seq,mbs,tp,pp,dp,step_time_s"


@pytest.fixture
def question() -> Question:
    return ask(
        "llama-1b",
        node_of(8),
        "time",
        global_batch=64,
        seq_len=2048,
        devices=None,
        runtime="megatron",
        precision="",
        optimizer="adam",
        lora_rank=0,
        keep=1,
        pins={},
    ).question


def written(folder: Path, *lines: str) -> str:
    path = folder / "steps.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_row_becomes_a_point_with_the_question_as_its_default(
    question: Question, tmp_path: Path
) -> None:
    path = written(tmp_path, HEAD, "8,64,2048,2,2,1,4,0.5", "4,32,4096,1,1,2,2,0.7")

    points = measured_points(path, question)

    assert list(points.step_time_s) == [0.5, 0.7]
    assert list(points.work.seq_len) == [2048, 4096]  # type: ignore[arg-type]
    assert list(points.layout.dp_shard) == [4, 2]  # type: ignore[arg-type]
    assert list(points.layout.grad_accum) == [8, 16]  # type: ignore[arg-type]


def test_three_steps_of_a_slower_machine_move_its_predictions(
    question: Question, tmp_path: Path
) -> None:
    lines = [f"8,64,2048,{mbs},{tp},1,{8 // tp},1.0" for mbs, tp in ((1, 1), (2, 1), (2, 2))]
    shipped = shipped_coefficients()
    points = measured_points(written(tmp_path, HEAD, *lines), question)
    seen_s = 1.3 * step_time(points.work, points.machine, points.layout, shipped).p50_s
    slower = [line[:-3] + f"{seconds:.6f}" for line, seconds in zip(lines, seen_s, strict=True)]

    found = calibrated(written(tmp_path, HEAD, *slower), question, shipped)

    assert found.rows == 3
    assert found.error_before == pytest.approx(1 - 1 / 1.3, abs=0.001)
    assert found.error_after < 0.05


def test_other_devices_are_left_alone(question: Question, tmp_path: Path) -> None:
    shipped = shipped_coefficients()
    path = written(tmp_path, HEAD, "8,64,2048,2,1,1,8,0.5")

    found = calibrated(path, question, shipped).coefficients

    assert found.gemm_efficiency[1] == pytest.approx(shipped.gemm_efficiency[1], rel=0.001)


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        (["gpus,gbs", "8,64"], 1, "has no column seq, step_time_s"),
        ([HEAD, "8,64,2048,2,3,1,4,0.5"], 2, "tp x pp x cp = 3 does not divide gpus=8"),
        ([HEAD, "8,64,2048,5,1,1,8,0.5"], 2, "dp x mbs = 40 does not divide gbs=64"),
        ([HEAD, "8,64,2048,1,1,1,8,0.5", "8,64,2048,1,1,1,8,-1"], 3, "step_time_s is '-1'"),
        ([HEAD, "8,64,2048,1,1,1,8,nan"], 2, "step_time_s is 'nan'"),
        ([HEAD, "8,64,2048,1,1,1,8,soon"], 2, "'soon'"),
        ([HEAD, "many,64,2048,1,1,1,8,1"], 2, "gpus is 'many'"),
        ([HEAD, "8,64,2048,1,1,1,8"], 2, "step_time_s is ''"),
        ([HEAD + ",gpu", "8,64,2048,1,1,1,8,1,TPUv4"], 2, "the fleet has no TPUv4"),
        ([HEAD + ",model", "8,64,2048,1,1,1,8,1,nothing"], 2, "there is no model 'nothing'"),
        ([HEAD + ",zero", "8,64,2048,1,1,1,8,1,9"], 2, "zero is '9'"),
        ([HEAD], None, "has no rows"),
        ([""], 1, "has no column"),
    ],
    ids=lambda value: value[-1][:40] if isinstance(value, list) else "",
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(
    lines: list[str], line: int | None, said: str, question: Question, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        measured_points(written(tmp_path, *lines), question)

    (problem,) = caught.value.problems
    assert problem.line == line
    assert said in problem.problem


def test_every_bad_row_is_in_the_report(question: Question, tmp_path: Path) -> None:
    path = written(tmp_path, HEAD, "0,1,1,1,1,1,1,1", "8,64,2048,1,1,1,8,1", "8,64,2048,1,1,1,8,0")

    with pytest.raises(SpecError) as caught:
        measured_points(path, question)

    assert [problem.line for problem in caught.value.problems] == [2, 4]
