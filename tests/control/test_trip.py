"""Trips of a job through the control plane, each event by event."""

import pytest
from tests.control.world import KILLED, USER_ERROR, World, node, spec

from irongrid.control import requests
from irongrid.control.decide import evacuate
from irongrid.control.views import job_detail
from irongrid.domain.decision import WaitCode
from irongrid.domain.event import Decided, LaunchRefused, ProgressMade
from irongrid.domain.failure import Failure, FailureCode
from irongrid.domain.job import JobState
from irongrid.errors import Conflict, Fenced, Refused


@pytest.fixture
def world() -> World:
    return World(node("n0", 2), node("n1", 2))


def test_a_job_runs_and_succeeds(world: World) -> None:
    job = world.submit(spec(4))
    world.settle()
    assert world.job(job).state is JobState.RUNNING

    world.advance(10)
    world.finish(job)
    world.settle()

    assert world.job(job).state is JobState.SUCCEEDED
    assert job_detail(world.state, world.job(job), world.now_ns).time_account_s.running_s == 10


def test_a_killed_rank_is_replaced_inside_the_attempt(world: World) -> None:
    job = world.submit(spec(4))
    world.settle()
    world.advance(5)

    world.fail(job, step=50)
    world.settle()

    found = world.job(job)
    assert (found.state, found.epoch, found.restarts) == (JobState.RUNNING, 1, 1)
    assert found.attempt is not None
    assert found.attempt.generation == 2
    assert found.lost_steps == 50


def test_a_new_generation_starts_only_when_every_node_has_stopped_the_old_one(
    world: World,
) -> None:
    job = world.submit(spec(4))
    world.settle()
    first, second = world.of(job)

    world.fail(job)
    world.decide()
    world.step(first)

    assert first.running == 0
    assert second.running == 1
    world.step(second)
    world.step(first)
    assert first.running == 2


def test_a_users_error_is_not_retried(world: World) -> None:
    job = world.submit(spec(2))
    world.settle()

    world.fail(job, USER_ERROR)
    world.settle()

    assert world.job(job).state is JobState.FAILED
    assert world.job(job).restarts == 0
    assert "exit 1" in world.job(job).ended_because


def test_a_crash_loop_ends_with_its_cause(world: World) -> None:
    job = world.submit(spec(2, retries=2))
    world.settle()
    for _ in range(3):
        world.advance(120)
        world.fail(job)
        world.advance(120)
        world.settle()

    assert world.job(job).state is JobState.FAILED
    assert world.job(job).ended_because.startswith("crash loop: failed 3 times")


def test_progress_in_between_makes_failures_count_anew(world: World) -> None:
    job = world.submit(spec(2, retries=1))
    world.settle()
    for step in range(1, 5):
        world.advance(10)
        world.checkpoint(job, step)
        world.fail(job)
        world.advance(120)
        world.settle()

    assert world.job(job).state is JobState.RUNNING
    assert world.job(job).restarts == 4


def test_a_lost_worker_sends_the_job_back_to_the_queue_and_on_to_a_new_epoch(
    world: World,
) -> None:
    job = world.submit(spec(4))
    world.settle()
    world.advance(5)

    world.kill_worker(job, 1, world.of(job)[0].node)
    world.settle()
    world.advance(120)
    world.settle()

    assert (world.job(job).state, world.job(job).epoch) == (JobState.RUNNING, 2)
    assert world.job(job).past[0].failures[0].code is FailureCode.WORKER_LOST


def test_a_worker_that_gives_itself_up_is_one_failure_and_one_new_epoch(world: World) -> None:
    job = world.submit(spec(2, retries=1))
    world.settle()
    world.advance(5)

    world.fail(job, Failure(code=FailureCode.WORKER_LOST, message="its zygote has ended"))
    world.settle()
    world.advance(120)
    world.settle()

    assert (world.job(job).state, world.job(job).epoch) == (JobState.RUNNING, 2)
    assert (world.job(job).restarts, world.job(job).retries) == (1, 1)


def test_an_error_that_follows_from_a_lost_worker_makes_way_for_it(world: World) -> None:
    job = world.submit(spec(4))
    world.settle()
    world.fail(job, USER_ERROR)
    world.decide()
    assert world.job(job).state is JobState.RUNNING, "the other node has not been heard"

    world.kill_worker(job, 1, world.of(job)[1].node)
    world.settle()
    world.advance(120)
    world.settle()

    found = world.job(job)
    assert (found.state, found.epoch, found.restarts) == (JobState.RUNNING, 2, 1)
    assert [failure.code for failure in found.past[0].failures] == [FailureCode.WORKER_LOST]


def test_an_error_of_ones_own_ends_a_gang_as_soon_as_every_node_was_heard(world: World) -> None:
    job = world.submit(spec(4))
    world.settle()
    world.fail(job, USER_ERROR)
    world.settle()

    assert world.job(job).state is JobState.FAILED
    assert world.job(job).failure == USER_ERROR


def test_an_error_ends_a_gang_after_a_while_also_if_a_node_says_nothing(world: World) -> None:
    job = world.submit(spec(4))
    world.settle()
    world.of(job)[1].alive = False  # As its engine does not know yet.
    world.fail(job, USER_ERROR)
    world.settle()
    before = world.job(job).state
    world.advance(11)
    world.decide()
    attempt = world.job(job).attempt

    assert before is JobState.RUNNING
    assert attempt is not None
    assert (attempt.phase, attempt.failures) == ("stopping", [USER_ERROR])


def test_progress_counts_also_if_it_is_heard_before_another_node_is_ready(world: World) -> None:
    job = world.submit(spec(4))
    world.settle()
    world.fail(job, step=70)
    world.decide()
    first, second = world.of(job)
    world.step(first)
    world.step(second)
    world.step(first)
    progress = ProgressMade(
        job=job,
        epoch=1,
        generation=2,
        node=first.node,
        n=world.number(first),
        step=100,
        metrics={},
    )
    world.send(first, progress)
    before = world.job(job).account.bucket
    world.step(second)

    assert (before, world.job(job).account.bucket) == ("recovering", "running")
    assert (world.job(job).step, world.job(job).lost_steps) == (100, 70)


def test_a_worker_of_an_old_epoch_is_fenced(world: World) -> None:
    job = world.submit(spec(2))
    world.settle()
    old = world.of(job)[0]
    world.ask(requests.worker_gone(world.state, job, 1, old.node, "lease"))
    world.settle()
    world.advance(120)
    world.settle()

    assert world.job(job).epoch == 2
    from irongrid.control.commands import directive

    with pytest.raises(Fenced):
        directive(world.state, job, 1, old.node)


def test_lost_and_saved_time_are_told_apart(world: World) -> None:
    job = world.submit(spec(2))
    world.settle()
    world.advance(10)
    world.checkpoint(job, 100, age_s=2, stall_s=1)
    world.advance(3)
    world.fail(job, step=130)
    world.advance(4)
    world.settle()
    world.advance(6)

    account = job_detail(world.state, world.job(job), world.now_ns).time_account_s
    # 13 s of work: 2 + 3 after the capture are lost, 1 was stall. Then 4 s down and 6 s of work.
    assert (account.lost_s, account.checkpoint_stall_s) == (5, 1)
    assert (account.running_s, account.recovering_s) == (7 + 6, 4)
    assert account.wall_s == 23


def test_a_checkpoint_that_is_reported_after_the_failure_still_saves_work(world: World) -> None:
    job = world.submit(spec(4))
    world.settle()
    world.advance(10)
    second = world.of(job)[1]
    world.fail(job)
    world.advance(1)
    # Captured 2 s before the failure, reported 1 s after it.
    world.workers = {key: w for key, w in world.workers.items() if w is second}
    world.checkpoint(job, 5, age_s=3)

    assert world.job(job).account.unsafe_ns == 2 * 10**9


def test_cancel_ends_a_running_job_and_frees_its_devices(world: World) -> None:
    job = world.submit(spec(4))
    world.settle()

    world.ask(requests.cancel(world.state, job))
    world.settle()

    assert world.job(job).state is JobState.CANCELLED
    assert sum(len(free.devices) for free in world.state.free.values()) == 4
    assert requests.cancel(world.state, job) is None
    with pytest.raises(Conflict):
        requests.pause(world.state, job)


def test_cancel_while_the_launch_is_unanswered_kills_what_comes_up(world: World) -> None:
    job = world.submit(spec(4))
    world.decide()
    world.ask(requests.cancel(world.state, job))
    world.settle()

    assert world.job(job).state is JobState.CANCELLED
    assert list(world.ranks_running()) == []


def test_a_cancel_during_a_pause_wins(world: World) -> None:
    job = world.submit(spec(2))
    world.settle()
    world.ask(requests.pause(world.state, job))
    world.decide()
    world.ask(requests.cancel(world.state, job))
    world.settle()

    assert world.job(job).state is JobState.CANCELLED


def test_pause_frees_the_devices_and_resume_takes_the_old_place(world: World) -> None:
    first, second = world.submit(spec(4)), world.submit(spec(4))
    world.settle()
    world.ask(requests.pause(world.state, first))
    world.settle()
    assert [world.job(j).state for j in (first, second)] == [JobState.PAUSED, JobState.RUNNING]

    third = world.submit(spec(4))
    world.ask(requests.resume(world.state, first))
    world.settle()

    assert world.state.queue == [first, third]


def test_max_duration_counts_working_time_only(world: World) -> None:
    job = world.submit(spec(2, max_duration_s=10))
    world.advance(100)
    world.settle()
    world.advance(6)
    world.fail(job)
    world.advance(50)
    world.settle()
    world.advance(3.9)
    world.settle()
    assert world.job(job).state is JobState.RUNNING

    world.advance(0.2)
    world.settle()

    assert world.job(job).state is JobState.FAILED
    assert world.job(job).ended_because == "reached max_duration of 10.0 s"


def test_a_stop_that_nobody_obeys_is_forced_after_its_grace(world: World) -> None:
    job = world.submit(spec(2))
    world.settle()
    hung = world.of(job)[0]
    world.ask(requests.pause(world.state, job))
    world.decide()
    world.workers.pop((hung.job, hung.epoch, hung.node))
    world.settle()
    assert world.job(job).state is JobState.RUNNING

    world.advance(66)
    world.settle()

    assert world.job(job).state is JobState.PAUSED


def test_a_refused_launch_fails_the_job_with_the_engines_words(world: World) -> None:
    job = world.submit(spec(2))
    world.decide()
    world.pending = []
    world.record(LaunchRefused(job=job, epoch=1, message="no such partition"))
    world.settle()

    assert world.job(job).state is JobState.FAILED
    assert "no such partition" in world.job(job).ended_because


def test_the_same_key_gives_the_same_job(world: World) -> None:
    job = world.submit(spec(2), key="k")

    assert requests.submit(world.state, spec(2), "k") == job
    with pytest.raises(Conflict):
        requests.submit(world.state, spec(1), "k")


def test_what_can_never_fit_is_refused_at_once(world: World) -> None:
    with pytest.raises(Refused, match="needs 5 devices at once; the fleet has 4"):
        requests.submit(world.state, spec(5), "k")


def test_an_elastic_job_takes_the_largest_size_that_fits(world: World) -> None:
    world.submit(spec(1))
    job = world.submit(spec(1, 2, 4))
    world.settle()

    attempt = world.job(job).attempt
    assert attempt is not None
    assert attempt.placement.world_size == 2


def test_a_smaller_fleet_after_a_restart_makes_the_job_wait_not_fail(world: World) -> None:
    job = world.submit(spec(4))
    world.nodes = (node("n0", 2),)
    world.restart(through_snapshot=False)
    world.settle()

    assert world.job(job).state is JobState.QUEUED
    assert world.job(job).wait_code is WaitCode.NEVER_FITS


def test_a_restart_of_the_control_plane_keeps_a_running_gang(world: World) -> None:
    job = world.submit(spec(4))
    world.settle()
    world.restart(through_snapshot=True)
    world.settle()
    world.finish(job)
    world.settle()

    assert (world.job(job).state, world.job(job).epoch) == (JobState.SUCCEEDED, 1)


def test_evacuation_stops_and_requeues_every_job(world: World) -> None:
    jobs = [world.submit(spec(2)), world.submit(spec(2))]
    world.settle()
    decision = evacuate(world.state)
    assert decision is not None
    world.record(Decided(decision=decision))
    for worker in list(world.workers.values()):
        world.step(worker)

    assert [world.job(job).state for job in jobs] == [JobState.QUEUED, JobState.QUEUED]
    assert [world.job(job).retries for job in jobs] == [0, 0]


def test_a_failure_of_the_second_attempt_waits_for_its_back_off(world: World) -> None:
    job = world.submit(spec(2))
    world.settle()
    world.fail(job)
    world.settle()
    world.fail(job, KILLED)
    world.settle()
    found = world.job(job)
    assert found.attempt is not None
    assert found.attempt.phase == "failed"

    world.advance(1.1)
    world.settle()

    assert found.attempt.phase == "running"
