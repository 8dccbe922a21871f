"""What `why` says, from real states."""

import pytest
from tests.control.world import USER_ERROR, World, node, spec

from irongrid.control import requests
from irongrid.control.explain import explain
from irongrid.domain.ids import JobId
from irongrid.domain.job import JobSpec, Resources, RunTask
from irongrid.domain.messages import Reason


@pytest.fixture
def world() -> World:
    return World(node("n0", 2, cpus=4, memory_bytes=2**33), node("n1", 2, cpus=4))


def why(world: World, job: JobId) -> Reason:
    return explain(world.state, world.job(job), world.now_ns)


def test_a_job_that_lacks_devices_learns_how_many_and_who_has_them(world: World) -> None:
    holder = world.submit(spec(3, max_duration_s=600))
    job = world.submit(spec(2))
    world.settle()
    world.advance(60)

    reason = why(world, job)

    assert reason.code == "no_free_devices"
    assert reason.sentence == "Number 1 in the queue; it needs 2 devices, 1 of 4 are free."
    assert reason.smallest_change == "ask for 1 instead of 2: that fits now"
    assert reason.holders == (f"{holder} (test): 3 devices, at most 9m 00s more",)


def test_a_full_fleet_points_to_the_first_job_that_ends(world: World) -> None:
    holder = world.submit(spec(4, max_duration_s=600))
    job = world.submit(spec(2))
    world.settle()
    world.advance(60)

    assert why(world, job).smallest_change == f"the end of {holder}, in 9m 00s at the latest"


def test_a_job_behind_a_reservation_learns_whose(world: World) -> None:
    world.submit(spec(3))
    large = world.submit(spec(4))
    small = world.submit(spec(1))
    world.settle()

    reason = why(world, small)

    assert reason.code == "behind"
    assert f"could delay {large}, which came first and needs 4 devices" in reason.sentence
    assert "max_duration" in reason.smallest_change
    assert [constraint.code for constraint in reason.constraints] == ["behind", "queue"]


def test_the_change_that_why_names_does_start_the_job(world: World) -> None:
    world.submit(spec(3, max_duration_s=600))
    world.submit(spec(4))
    job = world.submit(spec(1))
    world.settle()
    assert "set limits.max_duration" in why(world, job).smallest_change

    shorter = world.submit(spec(1, max_duration_s=60))
    world.settle()

    assert world.job(shorter).state == "running"


def test_memory_and_cpus_are_named_when_they_are_what_is_short(world: World) -> None:
    def needs(cpus: float, memory_bytes: int) -> JobSpec:
        return JobSpec(
            name="big",
            task=RunTask(argv=("true",)),
            workdir="/",
            resources=Resources(sizes=(1,), cpus=cpus, memory_bytes=memory_bytes),
        )

    world.submit(needs(4, 0))
    world.submit(needs(4, 0))
    cpus = world.submit(needs(1, 0))
    world.settle()
    assert why(world, cpus).code == "cpus"
    assert "1 CPUs each, the free CPUs do for 0" in why(world, cpus).sentence

    memory = World(node("n0", 2, memory_bytes=100))
    memory.submit(needs(0, 80))
    blocked = memory.submit(needs(0, 30))
    memory.settle()
    assert why(memory, blocked).code == "memory"


def test_every_resource_that_is_short_is_a_constraint_of_its_own() -> None:
    world = World(node("n0", 2, cpus=4, memory_bytes=100))
    resources = Resources(sizes=(2,), cpus=2, memory_bytes=50)
    spec_ = JobSpec(name="x", task=RunTask(argv=("true",)), workdir="/", resources=resources)
    world.submit(spec_)
    blocked = world.submit(spec_)
    world.settle()

    reason = why(world, blocked)

    assert [one.code for one in reason.constraints] == ["no_free_devices", "cpus", "memory"]
    assert reason.constraints[0].text == "It needs 2 devices, 0 of 2 are free."


def test_a_paused_job_says_how_to_go_on(world: World) -> None:
    job = world.submit(spec(1))
    world.ask(requests.pause(world.state, job))

    assert why(world, job).smallest_change == f"irongrid resume {job}"


def test_active_and_ended_jobs_say_what_they_do_and_how_it_went(world: World) -> None:
    job = world.submit(spec(4))
    world.decide()
    assert why(world, job).sentence.startswith("Starting: the engine was asked for 4 ranks")
    world.settle()
    world.advance(3)
    assert why(world, job).sentence.startswith("Running: 4 ranks on n0, n1, step 0, since 3.00 s")

    world.fail(job, USER_ERROR)
    world.settle()

    ended = why(world, job)
    assert ended.code == "exit_code"
    assert "Failed 3.00 s after submission: rank 0: exit 1" in ended.sentence


def test_a_job_that_waits_for_the_next_round_says_that_it_starts_next(world: World) -> None:
    job = world.submit(spec(1))

    reason = why(world, job)

    assert reason.code == "new"
    assert reason.sentence.endswith("it starts next.")
    assert reason.constraints == ()


def test_a_back_off_says_how_long_it_takes(world: World) -> None:
    job = world.submit(spec(1))
    world.settle()
    for _ in range(2):
        world.kill_worker(job, world.job(job).epoch, world.of(job)[0].node)
        world.settle()

    assert why(world, job).code == "backoff"
    assert "tried again in 1.00 s" in why(world, job).sentence


def test_a_job_that_a_draining_node_would_start_learns_which_and_how_to_open_it(
    world: World,
) -> None:
    world.submit(spec(2))
    world.settle()
    world.ask(requests.drain(world.state, "n1", leave=False))
    job = world.submit(spec(2))
    world.settle()

    reason = why(world, job)

    assert reason.sentence == (
        "Number 1 in the queue; it needs 2 devices, 0 of 4 are free; "
        "n1 would do, but takes no new work: n1 is drained on request."
    )
    assert reason.constraints[0].code == "node_closed"
    assert reason.smallest_change == "irongrid undrain n1"
    world.ask(requests.undrain(world.state, "n1"))
    world.settle()
    assert world.job(job).state == "running"


def test_a_draining_node_that_would_not_start_the_job_is_not_blamed(world: World) -> None:
    world.submit(spec(2))
    world.settle()
    world.ask(requests.drain(world.state, "n1", leave=False))
    world.submit(spec(2))
    second = world.submit(spec(2))
    too_large = world.submit(spec(4))
    world.settle()

    for job in (second, too_large):
        assert "node_closed" not in [found.code for found in why(world, job).constraints]
        assert "undrain" not in why(world, job).smallest_change
