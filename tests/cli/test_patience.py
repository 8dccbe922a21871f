import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irongrid.cli.patience import patience
from irongrid.cli.screen import Screen

# Four million devices, and a goal for which every count of them may be the best.
GIANT = """
name: giant
pools:
  all: {accelerator: H100, nodes: 524288, network: {link: infiniband-ndr-400}, usd_per_device_h: 2}
"""
ASKED = (
    "--model", "deepseek-v3", "--global-batch", str(2**30), "--seq-len", "131072",
    "--runtime", "any", "--goal", "cost",
)  # fmt: skip


def test_work_that_is_quick_is_not_spoken_of(capsys: pytest.CaptureFixture[str]) -> None:
    with patience(Screen(), "searching", quiet_s=60.0):
        pass

    assert capsys.readouterr().err == ""


def test_work_that_takes_long_is_spoken_of_once_in_a_plain_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with patience(Screen(as_json=True), "searching", quiet_s=0.0):
        time.sleep(0.3)

    said = capsys.readouterr()
    assert said.err == "irongrid: still searching ...\n"
    assert said.out == ""


def test_ctrl_c_ends_a_long_search_with_one_object_and_without_a_traceback(tmp_path: Path) -> None:
    fleet = tmp_path / "giant.yaml"
    fleet.write_text(GIANT)
    command = [sys.executable, "-m", "irongrid.cli.main", "plan", "--fleet", str(fleet), *ASKED]
    search = subprocess.Popen(
        [*command, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "IRONGRID_HOME": str(tmp_path)},
    )
    assert search.stderr is not None
    assert "still searching" in search.stderr.readline()
    search.send_signal(signal.SIGINT)
    out, err = search.communicate(timeout=60)

    assert search.returncode == 130
    assert json.loads(out)["error"]["code"] == "stopped"
    assert "makes the search shorter" in err
    assert "Traceback" not in err
