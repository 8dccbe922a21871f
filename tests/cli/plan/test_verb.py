"""`irongrid plan` from argv to exit code: good questions answered, bad ones refused in words."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.plan.samples import node_of

from irongrid.cli.main import run
from irongrid.domain.fleet import Fleet

ROOT = Path(__file__).parents[3]
SMALL = ["--model", "llama-1b", "--global-batch", "64", "--seq-len", "2048"]


@pytest.fixture(autouse=True)
def one_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fleet:
    """Stands for this machine: one node of eight H100."""
    fleet = node_of(8)
    monkeypatch.setattr("irongrid.sdk.plan.this_machine", lambda: fleet)
    monkeypatch.setenv("IRONGRID_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    return fleet


def one_object(text: str) -> dict[str, Any]:
    """The object of --json: one line, nothing else on stdout."""
    (line,) = text.splitlines()
    value = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert isinstance(value, dict)
    return value


def test_a_question_is_answered_with_a_marked_table_a_bar_and_reasons(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plan", *SMALL]) == 0

    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("llama-1b (1.24B parameters), batch 64 x 2,048 tokens")
    assert len([line for line in out if line.startswith("*  ")]) == 1
    assert any("█ compute" in line for line in out)
    assert any(line.startswith("Runs on ") for line in out)


def test_with_json_there_is_one_object_and_plans_are_best_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plan", *SMALL, "--keep", "3", "--json"]) == 0

    plans = one_object(capsys.readouterr().out)["plans"]
    assert len(plans) == 3
    assert [plan["step_time_s"] for plan in plans] == sorted(plan["step_time_s"] for plan in plans)
    best = plans[0]
    ranks = best["pp"] * best["dp_replicate"] * best["dp_shard"] * best["cp"] * best["tp"]
    assert best["world_size"] == ranks == 8
    assert best["step_time_s"] <= best["step_time_s_p90"]
    assert best["peak_memory_bytes"] <= best["peak_memory_bytes_p95"] <= 80 * 2**30


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (["--tp", "4"], "tp", 4),
        (["--pp", "2"], "pp", 2),
        (["--cp", "2"], "cp", 2),
        (["--dp-shard", "8"], "dp_shard", 8),
        (["--dp-replicate", "4"], "dp_replicate", 4),
        (["--micro-batch", "2"], "micro_batch", 2),
        (["--zero", "1"], "zero", "1"),
        (["--recompute", "full"], "recompute", "full"),
        (["--pp", "2", "--schedule", "interleaved"], "schedule", "interleaved"),
        (["--precision", "fp8"], "precision", "fp8"),
        (["--devices", "4"], "world_size", 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_pinned_stays(
    options: list[str], field: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", *SMALL, *options, "--json"]) == 0

    assert {plan[field] for plan in one_object(capsys.readouterr().out)["plans"]} == {value}


def test_the_search_keeps_to_the_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *SMALL, "--runtime", "torchtitan", "--json"]) == 0

    for plan in one_object(capsys.readouterr().out)["plans"]:
        assert "torchtitan" in plan["runnable_by"]


def test_a_job_file_is_planned_for_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(ROOT / "examples" / "first.yaml"), "--json"]) == 0

    value = one_object(capsys.readouterr().out)
    assert value["training"]["runtime"] == "irongrid"
    assert value["plans"][0]["world_size"] == 2  # the file's count


def test_a_model_that_does_not_fit_says_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plan", "--model", "llama3.1-405b", "--json"]) == 1

    out, err = capsys.readouterr()
    value = one_object(out)
    assert value["plans"] == []
    assert value["exit_code"] == 1
    assert value["misfit"]["problem"] in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing says what to plan"),
        (["--model", "lama-1b"], "did you mean llama-1b?"),
        ([*SMALL, "--tp", "3"], "--tp"),
        ([*SMALL, "--tp", "0"], "--tp"),
        ([*SMALL, "--tp", "-8"], "--tp"),
        ([*SMALL, "--tp", "eight"], "--tp"),
        ([*SMALL, "--devices", "9"], "the fleet has 8"),
        ([*SMALL, "--schedule", "interleavd"], "did you mean interleaved?"),
        ([*SMALL, "--runtime", "megatorn"], "did you mean megatron?"),
        ([*SMALL, "--precision", "bf32"], "--precision: 'bf32' is not known"),
        ([*SMALL, "--precision", "nvfp4"], "no device of the fleet computes in nvfp4"),
        ([*SMALL, "--goal", "tmie"], "--goal: 'tmie' is not a goal"),
        ([*SMALL, "--goal", "time=much"], "'time=much' is no goal with its weight"),
        ([*SMALL, "--goal", "time=-1"], "--goal"),
        ([*SMALL, "--goal", "time=nan"], "--goal"),
        ([*SMALL, "--to", "somewhere"], "there is nothing to write"),
        ([*SMALL, "--global-batch", "9" * 30], "--global-batch"),
        ([*SMALL, "--seq-len", "9" * 12], "--seq-len"),
        (["--model", "layers=2,hidden=64"], "heads: is required"),
        (["--model", "layers=0,hidden=64,heads=4,ffn=64,vocab=9"], "layers"),
        (["--model", "layers=9999999,hidden=64,heads=4,ffn=64,vocab=9"], "layers"),
        ([*SMALL, "--fleet", "nowhere.yaml"], "nowhere.yaml"),
        ([*SMALL, "--parteo"], "did you mean --pareto?"),
        (["examples/run-script.yaml"], "the job runs a command"),
        (["examples/first.yaml", "--model", "llama-1b"], "--model stands beside"),
        (["nowhere.yaml"], "no such file"),
        ([*SMALL, "--measured", "nowhere.csv"], "nowhere.csv"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_a_bad_question_is_refused_in_words(
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)

    assert run(["plan", *options]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_a_bad_question_with_json_is_one_object_with_every_problem(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plan", *SMALL, "--zero", "9", "--schedule", "x", "--json"]) == 2

    error = one_object(capsys.readouterr().out)["error"]
    assert {detail["field"] for detail in error["details"]} == {"--zero", "--schedule"}


def test_an_absurd_model_is_answered_and_not_searched_for_ever(
    capsys: pytest.CaptureFixture[str],
) -> None:
    huge = "layers=4096,hidden=1048576,heads=1024,ffn=1048576,vocab=1000000"

    assert run(["plan", "--model", huge, "--seq-len", "1000000", "--json"]) == 1
    assert one_object(capsys.readouterr().out)["plans"] == []


def test_a_batch_and_a_sequence_as_long_as_they_may_be_are_answered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    most = ["--global-batch", str(2**31 - 1), "--seq-len", str(2**27)]

    assert run(["plan", "--model", "llama3-8b", *most, "--json"]) == 1
    assert one_object(capsys.readouterr().out)["misfit"]["missing_bytes"] > 0


def test_a_page_is_written_where_it_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "new" / "plan.html"

    assert run(["plan", *SMALL, "--html", str(page), "--json"]) == 0

    out, err = capsys.readouterr()
    assert one_object(out)["plans"]
    assert str(page) in err
    assert page.read_text().count("<svg") >= 3


def test_a_page_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")

    assert run(["plan", *SMALL, "--html", str(tmp_path / "file" / "plan.html")]) == 2
    assert "plan.html" in capsys.readouterr().err


def test_curve_front_and_matrix_are_in_the_object_when_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--tp", "1", "--cp", "1", "--recompute", "none", "--offload", "none"]

    assert run(["plan", *SMALL, *asked, "--curve", "--pareto", "--matrix", "--json"]) == 0

    value = one_object(capsys.readouterr().out)
    assert [point["devices"] for point in value["curve"]["points"]] == [1, 2, 4, 8]
    fastest_s = value["plans"][0]["step_time_s"]
    assert value["pareto"][0]["step_time_s"] == pytest.approx(fastest_s, rel=0.001)
    assert value["matrix"]["flows"]
    assert len(value["matrix"]["rank_map"]["places"]) == 8


def test_an_export_is_written_or_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--tp", "2", "--cp", "1", "--recompute", "none", "--export", "torchtitan"]

    assert run(["plan", *SMALL, *asked, "--to", str(tmp_path)]) == 0
    files = sorted(path.name for path in tmp_path.iterdir())
    assert "launch.sh" in files
    assert str(tmp_path / "launch.sh") in capsys.readouterr().out

    assert run(["plan", *SMALL, *asked, "--json"]) == 0
    value = one_object(capsys.readouterr().out)
    assert sorted(value["files"]) == files
    assert value["training"]["runtime"] == "torchtitan"


def test_a_fleet_file_with_a_dead_link_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(
        "pools:\n  main:\n    accelerator: H100\n    nodes: 2\n    network: {rate: 0Gbit/s}\n"
    )

    assert run(["plan", *SMALL, "--fleet", str(fleet)]) == 2
    assert "fleet.yaml:5: pools.main.network.rate" in capsys.readouterr().err


def test_measured_steps_are_said_to_have_been_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = tmp_path / "steps.csv"
    steps.write_text("gpus,gbs,seq,mbs,step_time_s\n8,64,2048,2,0.6\n")

    assert run(["plan", *SMALL, "--tp", "1", "--cp", "1", "--measured", str(steps), "--json"]) == 0

    out, err = capsys.readouterr()
    assert one_object(out)["plans"]
    assert "calibrated with 1 measured step" in err
