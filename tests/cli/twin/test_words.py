"""`irongrid twin import | run | compare`, as people and programs meet them."""

import json
from pathlib import Path
from typing import Any

import pytest

from irongrid.cli.main import run
from irongrid.cli.twin import progress
from irongrid.domain.event import Recorded, ServerStarted
from irongrid.store.rows import to_row
from irongrid.twin.driver import Driver
from irongrid.twin.replay import ReplayOptions, replay_workload
from irongrid.twin.truth.datasets import read

EXAMPLES = Path(__file__).parents[3] / "examples" / "scenarios"
TRACE = str(EXAMPLES / "my-trace.csv")
OWN = str(EXAMPLES / "own-trace.yaml")


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_the_example_workload_is_what_an_import_of_the_example_trace_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "jobs.csv"

    assert run(["twin", "import", TRACE, "--to", str(written), "--json"]) == 0

    found = answer(capsys)
    assert (found["rows"], found["jobs"], found["left_out"]) == (243, 240, 3)
    assert written.read_text() == (EXAMPLES / "jobs.csv").read_text()


def test_an_import_tells_people_what_is_missing_and_what_to_type_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["twin", "import", TRACE]) == 0

    said = capsys.readouterr().out
    assert "no column device_type: every job may run on any device" in said
    assert "1 left out: gpus is 0: the job held no accelerator ('0'), line 121" in said
    assert f"irongrid twin import {TRACE} --to jobs.csv" in said


def test_an_import_of_a_file_without_its_columns_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.csv"
    path.write_text("when,what\n1,2\n")

    assert run(["twin", "import", str(path), "--json"]) == 2

    error = answer(capsys)["error"]
    assert [detail["field"] for detail in error["details"]] == [
        "submit_time",
        "devices",
        "duration_s",
    ]


def test_a_scenario_runs_and_gives_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["twin", "run", OWN, "--check", "--json"]) == 0

    found = answer(capsys)
    assert (found["scenario"], found["jobs"], found["rules"]["nodes"]) == ("own-trace", 240, 4)
    assert found["fleet_usd"] > found["held_usd"] > 0
    assert {team["team"] for team in found["teams"]} == {"vision", "language"}


def test_a_policy_that_does_not_exist_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.yaml"
    text = Path(OWN).read_text().replace("jobs.csv}", f"{EXAMPLES}/jobs.csv}}")
    path.write_text(text.replace("fifo-backfill", "fifo-backfil"))
    line = text.splitlines().index("policy: fifo-backfill") + 1

    assert run(["twin", "run", str(path), "--json"]) == 2

    error = answer(capsys)["error"]
    assert error["problem"] == f"{path}:{line}: policy: there is no policy 'fifo-backfil'"


def test_eight_more_nodes_are_compared_by_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["twin", "compare", OWN, "--nodes", "+8", "--json"]) == 0

    found = answer(capsys)
    assert found["first"]["rules"]["nodes"] == 4
    assert found["second"]["rules"]["nodes"] == 12
    assert found["difference"]["avg_queue_s"]["absolute"] < 0
    assert found["paired"]["jobs"] == 240


def test_a_comparison_reads_as_a_table_and_two_sentences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["twin", "compare", OWN, "--policy", "las"]) == 0

    said = capsys.readouterr().out
    assert "A  own-trace: policy fifo-backfill, 4 nodes" in said
    assert "B  own-trace, las: policy las, 4 nodes" in said
    assert "Of 240 jobs" in said
    assert max(len(line) for line in said.splitlines() if "  " in line) <= 80


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["compare", OWN], "there is nothing to compare with"),
        (["compare", OWN, "--policy", "nope"], "there is no policy 'nope'"),
        (["compare", OWN, "--nodes", "x"], "is no number of nodes"),
        (["run", "/nowhere.yaml"], "no such file"),
    ],
)
def test_bad_input_is_named_with_the_way_out(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["twin", *words, "--json"]) == 2

    error = answer(capsys)["error"]
    assert problem in error["problem"]
    assert error["fix"]


def test_too_few_nodes_for_a_gang_is_a_no(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["twin", "compare", OWN, "--nodes", "1", "--json"]) == 1

    assert "needs 16 devices at once" in answer(capsys)["error"]["problem"]


def exported(tmp_path: Path) -> str:
    """The log of two jobs that took turns on one node."""
    rows = "job_id,submit_s,vc,gpus,duration_s\n1,0,a,8,100\n2,10,b,8,50\n"
    (tmp_path / "jobs.csv").write_text(rows)
    workload = read("philly", tmp_path / "jobs.csv")
    nodes = workload.fleet(1)
    first = ServerStarted(server_epoch=1, irongrid_version="twin", nodes=nodes)
    log = [Recorded(1, 0, first)]

    def look(driver: Driver) -> None:
        # The driver itself has recorded the start of its server before anybody looks on.
        driver.watchers.append(log.append)

    options = ReplayOptions(dataset="philly", workload=Path(), policy="fifo", nodes=1)
    replay_workload(workload, options, (look,))
    path = tmp_path / "log.ndjson"
    path.write_text("".join(f"{line_of(record)}\n" for record in log))
    return str(path)


def line_of(record: Recorded) -> str:
    """A record as `irongrid events --export` writes it."""
    row: dict[str, Any] = dict(to_row(record))
    names = ("seq", "at_ns", "kind", "version")
    return json.dumps({**{name: row[name] for name in names}, "body": json.loads(row["body"])})


def test_a_log_says_what_another_node_would_have_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = exported(tmp_path)

    assert run(["twin", "whatif", log, "--nodes", "+1"]) == 0

    said = capsys.readouterr().out
    assert "B  with 2 nodes: policy fifo, 2 nodes" in said
    assert "Most earlier: j000002 (b, 8 devices), by 1m 30s." in said
    assert "half of the jobs are within 0.00 s" in said
    assert "- 2 jobs that succeeded run as long as they did." in said


def test_a_broken_line_of_a_log_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Path(exported(tmp_path))
    log.write_text(log.read_text().replace('"seq": 3', '"seq": 4').replace('"seq":3', '"seq":4'))

    assert run(["twin", "whatif", str(log), "--nodes", "+1", "--json"]) == 1

    assert "line 3: seq is 4" in answer(capsys)["error"]["problem"]


@pytest.mark.parametrize(
    "words",
    [
        ["import", TRACE],
        ["run", OWN],
        ["compare", OWN, "--policy", "las"],
        ["replay", "--dataset", "csv", "--workload", str(EXAMPLES / "jobs.csv"), "--policy",
         "fifo", "--nodes", "70"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_page_is_whole_and_needs_no_network(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"

    assert run(["twin", *words, "--html", str(page), "--json"]) == 0

    text = page.read_text()
    answer(capsys)
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    for outside in ("http://", "https://", "<script", "@import", "url("):
        assert outside not in text
    assert "nan" not in text
    assert text.count("<svg") >= 3
    assert text.count("<section>") == text.count("</section>") >= 5


def test_ctrl_c_ends_a_run_with_a_word_and_without_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Driver, "turn", interrupted)
    page = tmp_path / "page.html"

    assert run(["twin", "run", OWN, "--html", str(page), "--json"]) == 130

    assert answer(capsys) == {"interrupted": True, "exit_code": 130}
    assert not page.exists()


def test_a_data_set_runs_on_a_fleet_file_and_is_billed_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs, fleet = tmp_path / "jobs.csv", tmp_path / "lab.yaml"
    jobs.write_text("job_id,submit_s,vc,gpus,duration_s\n1,0,a,8,3600\n")
    fleet.write_text("pools: {h100: {accelerator: H100, nodes: 2, usd_per_device_h: 3}}\n")
    words = ["twin", "replay", "--dataset", "philly", "--workload", str(jobs), "--policy", "fifo"]

    assert run([*words, "--fleet", str(fleet), "--json"]) == 0

    found = answer(capsys)
    assert (found["held_usd"], found["fleet_usd"], found["rules"]["nodes"]) == (24.0, 48.0, 2)

    assert run([*words, "--fleet", str(fleet), "--nodes", "3", "--json"]) == 2
    assert "at once" in answer(capsys)["error"]["problem"]


def test_a_set_with_a_cluster_of_its_own_takes_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs, fleet = tmp_path / "jobs.csv", tmp_path / "lab.yaml"
    jobs.write_text("name,time,application,num_replicas,batch_size\nx,0,bert,1,12\n")
    fleet.write_text("pools: {h100: {accelerator: H100, nodes: 2}}\n")
    words = ["twin", "replay", "--dataset", "sia", "--workload", str(jobs), "--policy", "fifo"]

    assert run([*words, "--fleet", str(fleet), "--json"]) == 2

    assert "measured on a cluster of their own" in answer(capsys)["error"]["problem"]


def test_a_long_run_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FROM_S", 0.0)
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.001)

    assert run(["twin", "run", OWN, "--json"]) == 0

    said = capsys.readouterr()
    assert "of 240 jobs have ended, virtual time" in said.err
    assert said.out.count("\n") == 1
