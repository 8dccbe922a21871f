"""The main job, as a newcomer runs it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import command_line

from irongrid.cli.demo import JOB, KILL_AT_STEP, SAVE_EVERY, STEPS
from irongrid.spec import parse_job_document

DEMO = [sys.executable, "-m", "irongrid.cli.main", "demo", "--json"]
# Three times what it takes on two cores of its own: tests share them.
DEMO_S = 180.0
PARAMETERS_AT_MOST = 3_000_000


def test_the_demos_job_is_valid_and_small() -> None:
    spec = parse_job_document({**JOB, "workdir": "/"}, source="demo").spec

    assert spec.task.model.parameters <= PARAMETERS_AT_MOST  # type: ignore[union-attr]
    assert spec.resources.sizes == (2,)


def test_the_demo_kills_in_the_middle_with_something_to_lose() -> None:
    assert SAVE_EVERY < KILL_AT_STEP < STEPS - SAVE_EVERY
    assert KILL_AT_STEP % SAVE_EVERY > 2


@pytest.mark.slow
def test_the_demo_trains_loses_a_rank_recovers_and_writes(tmp_path: Path) -> None:
    said = command_line(tmp_path, ["demo", "--json"], timeout_s=DEMO_S, TMPDIR=str(tmp_path))

    value = said.value
    assert said.exit_code == 0, said.err
    assert value["ok"] is True
    assert value["wrong"] == []
    assert value["restarts"] == 1
    assert 0 < value["recovery_s"] < 10
    # Work after the last checkpoint is done again, and no more than that.
    assert value["lost_steps"] == value["killed_at_step"] - value["resumed_step"] or (
        0 < value["lost_steps"] <= 2 * SAVE_EVERY
    )
    assert value["final_loss"] < 0.85 * value["first_loss"]
    assert Path(value["checkpoint"]["path"]).is_dir()
    assert "All is well" in said.err
    assert processes_that_name(value["home"]) == []


@pytest.mark.slow
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        DEMO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert demo.stderr is not None
    told = iter(demo.stderr.readline, "")
    assert any("running" in line for line in told)
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)

    assert demo.returncode == 130
    assert list(tmp_path.glob("irongrid-demo-*")) == []
    deadline = time.monotonic() + 10
    while processes_that_name(str(tmp_path)):
        assert time.monotonic() < deadline, processes_that_name(str(tmp_path))
        time.sleep(0.05)


def processes_that_name(text: str) -> list[str]:
    """Command lines and environments of other processes that hold a text."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            held = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in held:
            found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found
