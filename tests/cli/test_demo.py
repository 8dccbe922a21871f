"""The main job, as a newcomer runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import heed_ctrl_c

from irongrid.cli.demo import JOB, KILL_AT_STEP, SAVE_EVERY, STEPS
from irongrid.spec import parse_job_document

DEMO = [sys.executable, "-m", "irongrid.cli.main", "demo", "--json"]
# Ten times what it takes on two cores of its own: tests share them.
DEMO_S = 600.0
# What its end may take on such a machine.
END_S = 180.0
PARAMETERS_AT_MOST = 3_000_000


def test_the_demos_job_is_valid_and_small() -> None:
    spec = parse_job_document({**JOB, "workdir": "/"}, source="demo").spec

    assert spec.task.model.parameters <= PARAMETERS_AT_MOST  # type: ignore[union-attr]
    assert spec.resources.sizes == (2,)


def test_the_demo_kills_in_the_middle_with_something_to_lose() -> None:
    assert SAVE_EVERY < KILL_AT_STEP < STEPS - SAVE_EVERY
    assert KILL_AT_STEP % SAVE_EVERY > 2


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A running demo. It is asked to end, never killed: it has a server to stop."""
    process = subprocess.Popen(
        DEMO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=heed_ctrl_c,
    )
    yield process
    if process.poll() is None:
        process.terminate()
        process.communicate(timeout=END_S)


@pytest.mark.slow
def test_the_demo_trains_loses_a_rank_recovers_and_writes(demo: subprocess.Popen[str]) -> None:
    out, err = demo.communicate(timeout=DEMO_S)

    (line,) = out.splitlines()
    value = json.loads(line)
    assert demo.returncode == 0, err
    assert (value["ok"], value["wrong"]) == (True, [])
    assert value["restarts"] == 1
    assert 0 < value["recovery_s"] < END_S
    # Work after the last checkpoint is done again; a step may end between our look and the blow.
    killed, resumed = value["killed_at_step"], value["resumed_step"]
    assert killed - resumed <= value["lost_steps"] <= 2 * SAVE_EVERY
    assert value["final_loss"] < 0.85 * value["first_loss"]
    assert Path(value["checkpoint"]["path"]).is_dir()
    assert "All is well" in err
    assert processes_that_name(value["home"]) == []


@pytest.mark.slow
def test_an_interrupted_demo_leaves_nothing_behind(
    demo: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert demo.stderr is not None
    assert any("running" in line for line in iter(demo.stderr.readline, ""))
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=END_S)

    assert demo.returncode == 130
    assert list(tmp_path.glob("irongrid-demo-*")) == []
    deadline = time.monotonic() + END_S
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
