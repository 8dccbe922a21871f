"""Server and workers that do not hear each other for a while, and a worker that comes back late."""

import signal
import time

import pytest
from tests.integration.conftest import Losses
from tests.integration.house import House, freeze, thaw, until
from tests.integration.jobs import KILL_AT_STEP, command, training
from tests.integration.verdict import faults

from irongrid.control.decide import CANCEL_GRACE_S
from irongrid.domain.event import Recorded, WorkerStopped
from irongrid.domain.ids import JobId, NodeId
from irongrid.store import open_store

pytestmark = pytest.mark.slow

# A worker waits 10 s for the answer to a report.
LONGER_THAN_AN_ANSWER_S = 12.0


def test_a_server_that_stands_still_for_longer_than_an_answer_may_take_harms_nobody(
    house: House, undisturbed: Losses
) -> None:
    job = house.submit(training())
    house.wait_step(job, 20)
    assert house.server is not None
    house.server.send_signal(signal.SIGSTOP)
    time.sleep(LONGER_THAN_AN_ANSWER_S)
    house.server.send_signal(signal.SIGCONT)
    detail = house.reaches(job, "succeeded")
    saved = [row.body["step"] for row in house.events(job, "checkpoint_committed")]

    assert (detail.row.epoch, detail.row.restarts, detail.lost_steps) == (1, 0, 0)
    assert saved == sorted(set(saved))
    assert house.losses(job) == undisturbed
    assert faults(house) == []


def test_a_worker_that_stands_still_is_stopped_by_force_when_its_job_is_cancelled(
    house: House,
) -> None:
    job = house.submit(command("sleep 600", count=2))
    house.reaches(job, "running")
    freeze(house.worker(job))
    house.client.cancel(job)
    detail = house.reaches(job, "cancelled")

    assert house.processes(job) == []
    assert detail.time_account_s.stopping_s > CANCEL_GRACE_S
    assert faults(house) == []


def test_an_attempt_that_was_given_up_and_wakes_again_is_fenced_and_writes_nothing(
    house: House, undisturbed: Losses
) -> None:
    job = house.submit(training())
    house.wait_step(job, KILL_AT_STEP)
    old = house.processes(job)
    freeze(*old)
    house.kill_server()
    declare_lost(house, job)
    house.census.stop()  # From here on there are two gangs, of which one stands still.
    house.up()
    house.wait_event(job, "ranks_ready", epoch=2)
    house.wait_event(job, "checkpoint_committed", epoch=2)
    before = written_by_epoch_1(house, job)
    thaw(*old)
    until(lambda: not any(process.alive for process in old), "the old attempt is gone")
    detail = house.reaches(job, "succeeded")

    assert written_by_epoch_1(house, job) <= before
    assert detail.attempts[0].failures[0].code == "lease_expired"
    assert (detail.row.epoch, detail.row.restarts) == (2, 1)
    assert [row.body["epoch"] for row in house.events(job, "ranks_finished")] == [2]
    assert house.losses(job) == undisturbed
    assert faults(house) == []


def declare_lost(house: House, job: str) -> None:
    """What an engine with leases does when one has run out, and the local engine never does."""
    store = open_store(str(house.home.path / "irongrid.db"), holder="a test")
    *_, last = store.read()
    lost = WorkerStopped(job=JobId(job), epoch=1, node=NodeId("n0"), proof="lease")
    store.append([Recorded(last.seq + 1, last.at_ns, lost)])
    store.close()


def written_by_epoch_1(house: House, job: str) -> set[tuple[str, int]]:
    """Files of the first epoch's checkpoints, but for those that retention has removed."""
    folder = house.job_dir(job) / "checkpoints" / "epoch-1"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {(str(path), path.stat().st_mtime_ns) for path in files}
