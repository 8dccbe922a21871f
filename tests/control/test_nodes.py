"""Closed nodes: nobody starts there, what is there ends in order; opened, they are used again."""

import pytest
from tests.control.world import World, node, spec

from irongrid.control import requests, snapshot
from irongrid.control.apply import apply
from irongrid.control.attempts import holds
from irongrid.control.state import State
from irongrid.domain.decision import Outcome
from irongrid.domain.device import NodeShare, Placement
from irongrid.domain.event import NodeClosed, NodeOpened
from irongrid.domain.ids import NodeId
from irongrid.domain.job import JobState
from irongrid.errors import NotFound
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.fifo import Fifo

N0, N1 = NodeId("n0"), NodeId("n1")
POLICIES = pytest.mark.parametrize("policy", [None, Fifo(backfill=True)])


def two_nodes(policy: Policy | None) -> World:
    world = World(node("n0", 2), node("n1", 2))
    world.state.use(policy)
    return world


@POLICIES
def test_nobody_starts_on_a_closed_node_until_it_opens(policy: Policy | None) -> None:
    world = two_nodes(policy)
    world.record(NodeClosed(node=N0, reason="it drains", leaves=False))
    small, large = world.submit(spec(2)), world.submit(spec(4))
    world.settle()

    assert [share.node for share in world.job(small).placement.shares] == [N1]
    assert world.job(large).state is JobState.QUEUED
    world.finish(small)
    world.settle()
    assert world.job(large).state is JobState.QUEUED
    world.record(NodeOpened(node=N0))
    world.settle()
    assert world.job(large).state is JobState.RUNNING


def test_a_start_that_was_overtaken_by_a_closure_is_skipped() -> None:
    world = two_nodes(None)
    job = world.job(world.submit(spec(1)))
    world.record(NodeClosed(node=N0, reason="it drains", leaves=False))

    place = {name: Placement(shares=(NodeShare(node=name, devices=(0,)),)) for name in (N0, N1)}
    assert not holds(world.state, job, place[N0])
    assert holds(world.state, job, place[N1])


@POLICIES
def test_a_job_on_a_node_that_drains_runs_to_its_end(policy: Policy | None) -> None:
    world = two_nodes(policy)
    job = world.submit(spec(2))
    world.settle()
    world.record(NodeClosed(node=N0, reason="it drains", leaves=False))
    world.settle()

    assert world.job(job).state is JobState.RUNNING
    world.finish(job)
    world.settle()
    assert world.job(job).state is JobState.SUCCEEDED
    assert world.state.rooms.free_total == 2
    assert world.state.rooms.held_total == 0


@POLICIES
def test_a_job_on_a_node_that_leaves_goes_on_elsewhere(policy: Policy | None) -> None:
    world = two_nodes(policy)
    job = world.submit(spec(2))
    world.settle()
    world.record(NodeClosed(node=N0, reason="the provider takes it back", leaves=True))
    world.settle()

    assert world.job(job).state is JobState.RUNNING
    assert [share.node for share in world.job(job).placement.shares] == [N1]
    # It was nobody's failure: no retry is used up.
    assert (world.job(job).epoch, world.job(job).retries) == (2, 0)


def test_a_job_that_failed_where_a_node_leaves_is_not_retried_in_place() -> None:
    world = two_nodes(None)
    job = world.submit(spec(2))
    world.settle()
    world.fail(job)
    world.record(NodeClosed(node=N0, reason="the provider takes it back", leaves=True))
    world.settle()

    assert world.job(job).epoch == 2


def test_a_person_outranks_a_leaving_node() -> None:
    world = two_nodes(None)
    job = world.submit(spec(2))
    world.settle()
    leaves = NodeClosed(node=N0, reason="the provider takes it back", leaves=True)
    world.ask(leaves)

    world.ask(requests.pause(world.state, job))
    world.ask(leaves)
    world.settle()

    assert world.job(job).state is JobState.PAUSED


def test_closed_nodes_survive_a_crash_either_way() -> None:
    world = two_nodes(None)
    world.record(NodeClosed(node=N0, reason="it drains", leaves=False))
    again = State()
    for recorded in world.log:
        apply(again, recorded)

    loaded = snapshot.load(snapshot.dump(world.state))
    for state in (again, loaded):
        assert state.closed == {N0: "it drains"}
        assert state.rooms.free_total == 2
        assert snapshot.state_hash(state) == snapshot.state_hash(world.state)
    world.restart(through_snapshot=True)
    assert world.state.closed == {N0: "it drains"}


def test_a_node_that_is_unknown_or_open_already_changes_nothing() -> None:
    world = two_nodes(None)
    before = world.state.rooms.free_total
    world.record(NodeClosed(node=NodeId("elsewhere"), reason="it drains", leaves=True))
    world.record(NodeOpened(node=N1))

    assert world.state.rooms.free_total == before
    assert world.state.closed == {}


def test_a_drain_is_logged_once_and_a_leave_only_while_somebody_stays() -> None:
    world = two_nodes(None)
    job = world.submit(spec(2))
    world.settle()
    world.ask(requests.drain(world.state, "n0", leave=False))

    assert world.state.closed == {N0: "n0 is drained on request"}
    assert requests.drain(world.state, "n0", leave=False) is None
    world.ask(requests.drain(world.state, "n0", leave=True))
    assert world.job(job).wanted is Outcome.REQUEUE
    assert requests.drain(world.state, "n0", leave=True) is None
    world.settle()
    assert [share.node for share in world.job(job).placement.shares] == [N1]
    world.ask(requests.undrain(world.state, "n0"))
    assert world.state.closed == {}
    assert requests.undrain(world.state, "n0") is None


def test_a_node_that_nobody_knows_is_refused_with_the_nearest_one() -> None:
    world = two_nodes(None)

    with pytest.raises(NotFound) as near:
        requests.drain(world.state, "n", leave=False)
    with pytest.raises(NotFound) as far:
        requests.undrain(world.state, "elsewhere")

    assert near.value.fix in ("Did you mean n0?", "Did you mean n1?")
    assert far.value.fix == "The fleet has n0, n1"
