"""kill -9 of a rank: its gang recovers in place, from the last checkpoint, and does no other work.

On the bare machine and, for the same trip, on PostgreSQL.
"""

import time

import pytest
from tests.integration.conftest import Losses, OpenHouse
from tests.integration.house import House, kill, thaw
from tests.integration.jobs import KILL_AT_STEP, STEPS, training
from tests.integration.verdict import faults

from irongrid.units import NS_PER_S

# Some ten milliseconds on a machine of its own; only a hang would take so long.
NOTICE_S = 20.0


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def home(request: pytest.FixtureRequest, open_house: OpenHouse) -> House:
    """A home with its server, once per kind of store."""
    if request.param == "sqlite":
        return open_house()
    return open_house(store=str(request.getfixturevalue("postgres_target")))


def test_a_killed_rank_is_replaced_in_place_and_the_losses_are_those_of_a_run_without_it(
    home: House, undisturbed: Losses
) -> None:
    job = home.submit(training())
    done, saved = home.halt(job, KILL_AT_STEP)
    first, second = home.ranks(job)
    killed_at_ns = time.time_ns()
    kill(second)
    thaw(first)
    detail = home.reaches(job, "succeeded")
    failed = home.wait_event(job, "gang_failed")
    (started, again) = home.events(job, "ranks_ready")
    account = detail.time_account_s

    assert (failed.at_ns - killed_at_ns) / NS_PER_S < NOTICE_S
    assert detail.failure is not None
    assert (detail.failure.code, detail.failure.signal, detail.failure.rank) == (
        "signal",
        "SIGKILL",
        1,
    )
    assert (detail.row.epoch, detail.row.restarts) == (1, 1)
    assert [attempt.generation for attempt in detail.attempts] == [2]
    assert (started.body["resumed_step"], again.body["generation"]) == (0, 2)
    resumed = again.body["resumed_step"]
    assert resumed >= saved
    # The rank that is left may be about to write down the step that both have just done.
    assert detail.lost_steps - (done - resumed) in (0, 1)
    assert account.lost_s > 0
    assert account.recovering_s == pytest.approx((again.at_ns - failed.at_ns) / NS_PER_S)
    assert not first.alive
    assert home.losses(job) == undisturbed
    assert home.losses(job)[-1][0] == STEPS
    assert faults(home) == []
