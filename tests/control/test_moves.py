"""Jobs that change their place: a stop that saves, and a start where the round wanted it."""

from collections.abc import Callable

from tests.control.world import World, node, spec

from irongrid.control.live import LiveCluster
from irongrid.domain.decision import Action, Move, Reserve, Start
from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.ids import JobId, NodeId
from irongrid.domain.job import JobState, Resources
from irongrid.scheduler.cluster import Cluster
from irongrid.scheduler.order import Waiting

Round = Callable[[Cluster], list[Action]]


class Scripted:
    """Says in each round what the test wants it to say."""

    name = "scripted"
    every_ns: int | None = None

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.asked = 0

    def rank(self, job: Waiting) -> float:
        return 0.0

    def kind(self, job: Waiting) -> str:
        return ""

    def line_rank(self, kind: str, need: Resources) -> float:
        return 0.0

    def held(self) -> None:
        return None

    def decide(self, cluster: Cluster) -> list[Action]:
        self.asked += 1
        return self.rounds.pop(0)(cluster) if self.rounds else []


def at(name: str, *devices: int) -> Placement:
    return Placement(shares=(NodeShare(node=NodeId(name), devices=devices),))


def start(job: JobId, place: Placement) -> Round:
    return lambda cluster: [Start(job=job, placement=place, reason="test")]


def world(*rounds: Round) -> tuple[World, Scripted]:
    found, policy = World(node("a", 4), node("b", 4)), Scripted()
    found.state.use(policy)
    policy.rounds = list(rounds)
    return found, policy


def test_a_move_saves_stops_and_starts_where_it_was_told() -> None:
    found, policy = world()
    job = found.submit(spec(1, 2, 4))
    policy.rounds = [
        start(job, at("a", 0)),
        lambda cluster: [cluster.move(job, at("b", 0, 1), "two are faster")],
    ]
    found.settle()

    assert found.job(job).state is JobState.RUNNING
    assert found.job(job).epoch == 2
    assert found.job(job).placement == at("b", 0, 1)
    assert found.job(job).planned is None
    assert found.job(job).lost_steps == 0


def test_two_jobs_change_places_at_once() -> None:
    found, policy = world()
    one, other = found.submit(spec(4)), found.submit(spec(4))
    policy.rounds = [
        lambda cluster: [
            *start(one, at("a", 0, 1, 2, 3))(cluster),
            *start(other, at("b", 0, 1, 2, 3))(cluster),
        ],
        lambda cluster: [
            cluster.move(one, at("b", 0, 1, 2, 3), "swap"),
            cluster.move(other, at("a", 0, 1, 2, 3), "swap"),
        ],
    ]
    found.settle()

    assert found.job(one).placement == at("b", 0, 1, 2, 3)
    assert found.job(other).placement == at("a", 0, 1, 2, 3)


def test_a_reserved_place_waits_for_those_who_leave_and_the_policy_with_it() -> None:
    found, policy = world()
    old, new = found.submit(spec(4)), found.submit(spec(2))
    policy.rounds = [start(old, at("a", 0, 1, 2, 3))]
    found.decide()
    found.run_engine()
    for worker in list(found.workers.values()):
        while found.step(worker):
            pass
    policy.rounds = [
        lambda cluster: [
            cluster.move(old, at("b", 0, 1, 2, 3), "makes way"),
            Reserve(job=new, placement=at("a", 0, 1)),
        ]
    ]
    found.decide()
    asked = policy.asked

    # The old gang still holds the devices: nothing starts, and nobody asks the policy again.
    found.decide()
    assert found.job(new).state is JobState.QUEUED
    assert policy.asked == asked

    found.settle()
    assert found.job(new).placement == at("a", 0, 1)
    assert found.job(old).placement == at("b", 0, 1, 2, 3)


def test_a_plan_survives_a_crash_and_dies_with_its_job() -> None:
    found, policy = world()
    job = found.submit(spec(2))
    policy.rounds = [lambda cluster: [Reserve(job=job, placement=at("a", 0, 1))]]
    found.decide()
    assert list(found.state.planned) == [job]

    for through_snapshot in (False, True):
        found.restart(through_snapshot=through_snapshot)
        assert list(found.state.planned) == [job]
        assert found.job(job).planned == at("a", 0, 1)

    from irongrid.domain.event import CancelRequested

    found.ask(CancelRequested(job=job))
    assert not found.state.planned


def test_a_move_of_an_attempt_that_is_over_is_skipped() -> None:
    found, policy = world()
    job = found.submit(spec(1))
    stale = Move(job=job, epoch=7, placement=at("b", 0), grace_s=0.0, reason="late")
    policy.rounds = [start(job, at("a", 0)), lambda cluster: [stale]]
    found.settle()

    assert found.job(job).epoch == 1
    assert found.job(job).planned is None


def test_rounds_come_at_even_times_while_there_are_jobs() -> None:
    from irongrid.control.decide import next_wakeup_ns

    found, policy = world()
    policy.every_ns = 60 * 10**9
    assert next_wakeup_ns(found.state, 0) is None

    found.submit(spec(1))
    assert next_wakeup_ns(found.state, 0) == 60 * 10**9
    assert next_wakeup_ns(found.state, 60 * 10**9) == 120 * 10**9
    assert next_wakeup_ns(found.state, 61 * 10**9) == 120 * 10**9


def test_the_live_view_names_what_holds_devices_and_works() -> None:
    found, policy = world()
    job = found.submit(spec(1))
    policy.rounds = [start(job, at("a", 0))]
    found.settle()
    found.advance(5)

    (run,) = LiveCluster(found.state, found.now_ns).active()
    assert (run.id, run.works, run.epoch) == (job, True, 1)
    assert run.launched_at_ns < found.now_ns
