"""Jobs that fail by their own doing end with the right cause, in words that people see."""

from pathlib import Path

import pytest
from tests.integration.conftest import missing
from tests.integration.house import House
from tests.integration.jobs import command, training
from tests.integration.verdict import faults

from irongrid.telemetry import cgroup

MIB = 2**20


def test_a_job_that_kills_itself_again_and_again_ends_as_a_crash_loop(
    house: House, tmp_path: Path
) -> None:
    run = "echo $IRONGRID_GENERATION >> tries; echo last words >&2; kill -KILL $$"
    job = house.submit(command(run, workdir=str(tmp_path), retries={"max": 2}))
    detail = house.reaches(job, "failed")
    shown = house.cli("show", job)
    answer = house.answer("show", job)

    assert (tmp_path / "tries").read_text().split() == ["1", "2", "3"]
    assert detail.row.restarts == 2
    assert detail.ended_because == (
        "crash loop: failed 3 times without progress in between, "
        "the last time: rank 0 was ended by SIGKILL"
    )
    assert detail.ended_because in shown
    assert "| last words" in shown
    assert answer["failure"]["signal"] == "SIGKILL"
    assert detail.time_account_s.recovering_s > 1  # The second retry waits a second.
    assert faults(house) == []


def test_a_users_own_error_is_shown_and_not_retried(house: House, tmp_path: Path) -> None:
    run = "echo try >> tries; echo out; echo 'ValueError: no' >&2; exit 3"
    job = house.submit(command(run, workdir=str(tmp_path), count=2))
    detail = house.reaches(job, "failed")
    shown = house.cli("show", job)

    assert detail.failure is not None
    assert (detail.failure.code, detail.failure.exit_code) == ("exit_code", 3)
    assert (tmp_path / "tries").read_text().split() in (["try"], ["try", "try"])
    assert detail.row.restarts == 0
    assert "exited with code 3; failures of cause user are not retried" in shown
    assert "| ValueError: no" in shown
    assert faults(house) == []


def test_out_of_memory_is_told_with_limit_and_peak(house: House) -> None:
    if not {"memory"} <= {each.name for each in cgroup.usable(("memory",))}:
        missing("no memory cgroup that this user may use. Run the tests as root")
    run = ["python3", "-c", "held = []\nwhile True: held.append(bytearray(2**22))"]
    job = house.submit(
        {"name": "hog", "workdir": "/", "run": run, "resources": {"count": 1, "memory": "64MiB"}}
    )
    detail = house.reaches(job, "failed")
    shown = house.cli("show", job)

    assert detail.failure is not None
    assert (detail.failure.code, detail.failure.rank) == ("out_of_memory", 0)
    assert detail.failure.memory_limit_bytes == 64 * MIB
    assert detail.failure.memory_peak_bytes is not None
    assert 60 * MIB < detail.failure.memory_peak_bytes <= 64 * MIB
    assert detail.row.restarts == 0
    assert "its limit is 64.0 MiB, its peak 64.0 MiB" in shown
    assert faults(house) == []


@pytest.mark.slow
def test_training_on_files_that_are_not_there_fails_once_and_says_which(house: House) -> None:
    job = training()
    job["train"] = job["train"] | {"data": {"path": "/nowhere/*.txt"}}
    detail = house.reaches(house.submit(job), "failed")

    assert detail.failure is not None
    assert (detail.failure.code, detail.failure.exit_code) == ("exit_code", 2)
    assert any("/nowhere/*.txt" in line for line in detail.failure.stderr_tail)
    assert detail.row.restarts == 0
    assert faults(house) == []
