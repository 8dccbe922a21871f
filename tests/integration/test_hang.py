"""SIGSTOP of a rank: nobody dies, nobody moves; the silence is what tells."""

import time

import pytest
from tests.integration.conftest import Losses, OpenHouse
from tests.integration.house import freeze
from tests.integration.jobs import KILL_AT_STEP, training
from tests.integration.verdict import faults

from irongrid.units import NS_PER_S
from irongrid.worker.hang import BOUND_S

pytestmark = pytest.mark.slow

# 24 s for a step, and still 48 s for imports, which take many seconds on a busy machine.
SCALE = 0.4
# Its last word came before it was stopped.
SLACK_S = 3.0
# On a busy machine somebody may look late.
LATE_S = 60.0


def test_a_stopped_rank_is_a_hang_that_is_found_named_and_healed(
    open_house: OpenHouse, undisturbed: Losses
) -> None:
    house = open_house(environment={"IRONGRID_HANG_SCALE": str(SCALE)})
    job = house.submit(training())
    house.wait_step(job, KILL_AT_STEP)
    stopped = house.wait_ranks(job, 2)[1]
    stopped_at_ns = time.time_ns()
    freeze(stopped)
    failed = house.wait_event(job, "gang_failed")
    detail = house.reaches(job, "succeeded")
    silent_s = (failed.at_ns - stopped_at_ns) / NS_PER_S

    assert detail.failure is not None
    assert (detail.failure.code, detail.failure.rank) == ("hang", 1)
    assert "its process is stopped" in detail.failure.message
    assert BOUND_S["step"] * SCALE - SLACK_S < silent_s < BOUND_S["step"] * SCALE + LATE_S
    assert not stopped.alive
    assert (detail.row.epoch, detail.row.restarts) == (1, 1)
    # What stood still is counted as work until it is known to be lost.
    assert detail.time_account_s.lost_s > silent_s - SLACK_S
    assert house.losses(job) == undisturbed
    assert faults(house) == []
