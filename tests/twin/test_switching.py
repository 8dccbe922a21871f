"""Indexes follow from the state: a restart and a switch of the policy rebuild them."""

from tests.twin.worlds import trace

from irongrid.control import snapshot
from irongrid.control.state import State
from irongrid.scheduler.cluster import Policy
from irongrid.scheduler.fifo import Fifo
from irongrid.scheduler.las import Las
from irongrid.twin.arrivals import Arrivals
from irongrid.twin.driver import Driver
from irongrid.twin.fleets import pool
from irongrid.twin.truth.futures import RestartCosts, RigidFutures
from irongrid.twin.watch import Watch

ROWS = trace((0, 8, 9000), (0, 4, 300), (10, 8, 50), (20, 16, 10), (20, 4, 5), (2600, 8, 40))


def driver_at(until_s: int, policy: Policy) -> Driver:
    """Two nodes, in the middle of things."""
    driver = Driver(pool(2), RigidFutures(RestartCosts()), policy)
    Arrivals(driver, ROWS)
    while (now_ns := driver.next_ns()) is not None and now_ns <= until_s * 10**9:
        driver.turn(now_ns)
    return driver


def indexes(state: State) -> object:
    assert state.order is not None
    assert state.held is not None
    return (
        state.queue, state.order.lines, state.held.ranked, state.fresh, state.stopping,
        {node: sorted(free.devices) for node, free in state.free.items()},
    )  # fmt: skip


def test_a_restart_rebuilds_every_index_from_a_snapshot() -> None:
    for until_s in (0, 20, 400, 2300, 2600):
        driver = driver_at(until_s, Las())
        assert driver.state.held is not None
        driver.state.held.advance(driver.state.at_ns)

        again = snapshot.load(snapshot.dump(driver.state))
        again.use(Las())

        assert indexes(again) == indexes(driver.state)


def test_a_policy_can_be_switched_at_any_time() -> None:
    for until_s in (0, 20, 400, 2300, 2600):
        driver = driver_at(until_s, Las())
        watch = Watch(driver.state)
        driver.state.use(Fifo(backfill=True))
        while (now_ns := driver.next_ns()) is not None:
            driver.turn(now_ns)

        assert watch.broken == []
        assert all(job.state == "succeeded" for job in driver.state.jobs.values())
        assert len(driver.state.jobs) == len(ROWS)
