"""Jobs over several nodes, and jobs that go on with another number of ranks."""

import pytest
from tests.integration.conftest import Losses, OpenHouse
from tests.integration.house import House, kill, thaw
from tests.integration.jobs import KILL_AT_STEP, STEPS, command, training
from tests.integration.verdict import faults

pytestmark = pytest.mark.slow


def holder() -> dict[str, object]:
    """A job that holds one device until it is cancelled."""
    return command("sleep 600")


def test_a_job_that_finds_fewer_devices_after_a_stop_goes_on_with_fewer_ranks(
    house: House, undisturbed: Losses
) -> None:
    job = house.submit(training(count="1..2"))
    house.wait_step(job, KILL_AT_STEP)
    held = house.submit(holder())
    house.client.pause(job)
    paused = house.reaches(job, "paused")
    house.reaches(held, "running")
    house.cli("resume", job)
    detail = house.reaches(job, "succeeded")
    house.client.cancel(held)
    house.reaches(held, "cancelled")
    losses = house.losses(job)

    assert [attempt.world_size for attempt in detail.attempts] == [2, 1]
    assert paused.checkpoint is not None
    resumed = house.events(job, "ranks_ready")[-1].body["resumed_step"]
    assert resumed == paused.checkpoint.step >= KILL_AT_STEP
    assert detail.lost_steps == 0
    assert detail.time_account_s.paused_s > 0
    assert [step for step, _ in losses] == list(range(1, STEPS + 1))
    assert losses[:resumed] == undisturbed[:resumed]
    # One rank sums in another order than two; the samples are the same.
    for (_, loss), (_, expected) in zip(losses[resumed:], undisturbed[resumed:], strict=True):
        assert loss == pytest.approx(expected, rel=0.01)
    assert faults(house) == []


def test_a_gang_over_three_nodes_survives_the_loss_of_a_rank_and_of_a_worker(
    open_house: OpenHouse, undisturbed: Losses
) -> None:
    house = open_house(nodes="4x2")
    holders = [house.submit(holder()) for _ in range(6)]
    for held in holders:
        house.reaches(held, "running")
    # Nodes fill up one by one: this frees one device on each of the first two.
    for held in (holders[0], holders[2]):
        house.client.cancel(held)
        house.reaches(held, "cancelled")
    job = house.submit(training(count=4))
    first_done, _ = house.halt(job, 30)
    placement = house.job(job).attempts[0].placement
    killed, *others = house.ranks(job)
    kill(killed)
    thaw(*others)
    again = house.wait_event(job, "ranks_ready", generation=2, node="n3").body
    second_done, _ = house.halt(job, 65)
    left = house.ranks(job)
    kill(house.worker(job, "n1"))
    thaw(*left)
    house.wait_event(job, "worker_stopped", node="n1")
    detail = house.reaches(job, "succeeded")
    for held in holders:
        if house.job(held).row.state == "running":
            house.client.cancel(held)
            house.reaches(held, "cancelled")
    losses, ready = house.losses(job), house.events(job, "ranks_ready")[-1].body

    assert {share.node: len(share.devices) for share in placement.shares} == {
        "n0": 1,
        "n1": 1,
        "n3": 2,
    }
    assert [attempt.generation for attempt in detail.attempts] == [2, 1]
    first, second = detail.attempts[0].failures
    assert (first.code, first.rank, first.signal) == ("signal", 0, "SIGKILL")
    assert (second.code, second.node) == ("worker_lost", "n1")
    lost = first_done - again["resumed_step"] + second_done - ready["resumed_step"]
    # Ranks that are left may be about to write down the step that all have just done.
    assert detail.lost_steps - lost in (0, 1, 2)
    assert [step for step, _ in losses] == list(range(1, STEPS + 1))
    for (_, loss), (_, expected) in zip(losses, undisturbed, strict=True):
        assert loss == pytest.approx(expected, rel=0.01)
    assert faults(house) == []
