"""`irongrid twin replay` on a small file of one's own."""

import json
from pathlib import Path

import pytest

from irongrid.cli.main import run

# Two jobs that take turns on eight devices, and a row of the time before.
ROWS = """job_id,submit_time,submit_s,vc,gpus,duration_s
0,x,-500,a,8,10.0
1,x,0,a,8,100.0
2,x,10,b,8,50.0
"""


@pytest.fixture
def workload(tmp_path: Path) -> str:
    path = tmp_path / "jobs.csv"
    path.write_text(ROWS)
    return str(path)


def replay(workload: str, policy: str, *more: str) -> int:
    words = ["twin", "replay", "--dataset", "philly", "--workload", workload, "--policy", policy]
    return run([*words, "--nodes", "1", *more])


def test_a_file_of_ones_own_is_replayed_and_the_object_is_the_last_line(
    workload: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(workload, "fifo", "--json", "--check") == 0

    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    # 100 s for the first; the second waits for 90 s and runs for 50 s.
    assert (found["jobs"], found["avg_jct_s"], found["avg_queue_s"]) == (2, 120.0, 45.0)
    assert (found["makespan_s"], found["gpu_hours"]) == (150.0, round(8 * 150 / 3600, 3))
    assert found["rules"]["nodes"] == 1
    assert found["rules"]["history_jobs"] == 1
    for name in ("utilisation", "decision_ms", "jobs_per_s", "restarts_per_job", "p99_queue_s"):
        assert name in found


def test_people_get_the_same_figures_as_lines(
    workload: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(workload, "qssf") == 0

    assert "avg_jct_s              120.0" in capsys.readouterr().out


def test_an_earlier_workload_tells_which_group_is_short(
    tmp_path: Path, workload: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "now.csv"
    path.write_text(ROWS + "3,x,11,c,8,20.0\n")
    earlier = tmp_path / "earlier.csv"
    earlier.write_text("job_id,submit_s,vc,gpus,duration_s\n1,0,a,8,100\n2,0,b,8,500\n3,0,c,8,5\n")

    assert replay(str(path), "qssf", "--json", "--history", str(earlier)) == 0

    # c was short and b was long: c goes first, so that b waits until 120.
    found = json.loads(capsys.readouterr().out)
    assert found["avg_jct_s"] == round((100 + (120 - 11) + (170 - 10)) / 3, 3)
    assert found["rules"]["history_files"] == 1


@pytest.mark.parametrize(
    ("policy", "more", "problem"),
    [
        ("fifoo", (), "there is no policy 'fifoo'"),
        ("fifo", ("--dataset", "phily"), "there is no data set 'phily'"),
        ("fifo", ("--workload", "/nowhere.csv"), "cannot be read"),
    ],
)
def test_bad_input_is_named_with_the_way_out(
    policy: str,
    more: tuple[str, ...],
    problem: str,
    workload: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert replay(workload, policy, "--json", *more) == 2

    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert problem in error["problem"]
    assert error["fix"]


def test_a_gang_that_no_node_could_hold_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(ROWS + "3,x,20,b,64,5.0\n")

    assert replay(str(path), "fifo", "--json") == 1

    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert error["problem"].startswith("needs 64 devices at once; the fleet has 8")
