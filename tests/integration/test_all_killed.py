"""kill -9 of the server, all workers and all ranks at once, as when a machine loses its power."""

import os
import signal
from pathlib import Path

import pytest
from tests.integration.conftest import Losses
from tests.integration.house import House, kill
from tests.integration.jobs import KILL_AT_STEP, command, training
from tests.integration.verdict import faults

pytestmark = pytest.mark.slow


def test_after_all_is_killed_up_goes_on_from_the_newest_checkpoint(
    house: House, undisturbed: Losses
) -> None:
    job = house.submit(training())
    behind = house.submit(command("true", count=2))
    done, saved = house.halt(job, KILL_AT_STEP)
    assert house.server is not None
    os.kill(house.server.pid, signal.SIGKILL)
    kill(*house.processes())
    house.kill_server()
    house.up()
    detail = house.reaches(job, "succeeded")
    after = house.reaches(behind, "succeeded")
    ready = house.events(job, "ranks_ready")[-1].body

    assert ready["epoch"] == detail.row.epoch == 2
    assert ready["resumed_step"] == saved
    assert detail.attempts[0].failures[0].code == "worker_lost"
    assert detail.lost_steps == done - saved
    assert detail.time_account_s.lost_s > 0
    assert after.row.restarts == 0
    assert house.losses(job) == undisturbed
    assert faults(house) == []


def test_a_command_is_run_again_after_all_was_killed_and_only_once(
    house: House, tmp_path: Path
) -> None:
    run = "echo $IRONGRID_ATTEMPT >> starts; [ -e again ] && exit 0; touch again; sleep 600"
    job = house.submit(command(run, workdir=str(tmp_path)))
    house.reaches(job, "running")
    house.wait_ranks(job, 1)
    assert house.server is not None
    os.kill(house.server.pid, signal.SIGKILL)
    kill(*house.processes())
    house.kill_server()
    house.up()
    detail = house.reaches(job, "succeeded")

    assert (tmp_path / "starts").read_text().split() == [f"{job}.1", f"{job}.2"]
    assert (detail.row.epoch, detail.row.restarts) == (2, 1)
    assert faults(house) == []
