"""kill -9 of a worker: the attempt is over, and a new epoch goes on from the last checkpoint."""

import time

import pytest
from tests.integration.conftest import Losses
from tests.integration.house import House, kill
from tests.integration.jobs import KILL_AT_STEP, training
from tests.integration.processes import Role
from tests.integration.verdict import faults

from irongrid.units import NS_PER_S

pytestmark = pytest.mark.slow

# A second or two on a machine of its own; only a hang would take so long.
NOTICE_S = 30.0


def test_after_a_killed_worker_a_new_epoch_goes_on_and_loses_no_more_than_it_must(
    house: House, undisturbed: Losses
) -> None:
    job = house.submit(training())
    done, saved = house.halt(job, KILL_AT_STEP)
    old = house.processes(job)
    killed_at_ns = time.time_ns()
    kill(house.worker(job))
    stopped = house.wait_event(job, "worker_stopped")
    old_left = [process for process in old if process.alive]
    detail = house.reaches(job, "succeeded")
    ready = house.events(job, "ranks_ready")[-1].body
    first, second = detail.attempts

    assert old_left == []
    assert stopped.body["proof"] == "process_table"
    assert (stopped.at_ns - killed_at_ns) / NS_PER_S < NOTICE_S
    assert [failure.code for failure in first.failures] == ["worker_lost"]
    assert (detail.row.epoch, first.epoch, second.epoch) == (2, 1, 2)
    assert second.started_at_ns >= stopped.at_ns
    assert (ready["epoch"], ready["resumed_step"]) == (2, saved)
    assert detail.lost_steps == done - saved
    assert detail.time_account_s.lost_s > 0
    assert house.losses(job) == undisturbed
    assert faults(house) == []


def test_a_killed_zygote_takes_its_ranks_along_and_costs_one_new_epoch(
    house: House, undisturbed: Losses
) -> None:
    job = house.submit(training())
    house.wait_step(job, KILL_AT_STEP)
    kill(*house.processes(job, Role.ZYGOTE))
    detail = house.reaches(job, "succeeded")

    assert detail.attempts[0].failures[0].code == "worker_lost"
    assert "forked from" in detail.attempts[0].failures[0].message
    assert (detail.row.epoch, detail.row.restarts) == (2, 1)
    assert house.losses(job) == undisturbed
    assert faults(house) == []
