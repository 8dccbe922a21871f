"""What the default policy values, on tables that can be worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from tests.scheduler.test_assign import fleet

from irongrid.domain.ids import JobId
from irongrid.scheduler.assign import assign
from irongrid.scheduler.default import Default, Weights
from irongrid.scheduler.elastic import NONE, Table
from irongrid.scheduler.outlook import Outlook

SIZES = fleet(a=(2, 4))


class NoForecast:
    def outlook(self, job: JobId, now_ns: int) -> Outlook:
        raise AssertionError("the table is given")


def policy(**weights: float) -> Default:
    return Default(NoForecast(), SIZES, Weights(**weights))


def table(*work_s: float, restart_s: float = 30.0) -> Table:
    """Jobs that need so long on one device, and gain with the root of their devices."""
    jobs = len(work_s)
    return Table(
        jobs=tuple(JobId(f"j{at}") for at in range(jobs)),
        left_JC=np.array(work_s)[:, None] / SIZES.devices_C**0.5,
        fair_done_J=np.zeros(jobs),
        sure_J=np.ones(jobs),
        restart_J=np.full(jobs, restart_s),
        current_J=np.full(jobs, NONE),
        pending_J=np.zeros(jobs),
        held_J=np.zeros(jobs),
        age_J=np.zeros(jobs),
        launches_J=np.zeros(jobs, dtype=int),
    )


def devices(given: Table, **weights: float) -> list[int]:
    """Devices that each job gets."""
    column_J = assign(policy(**weights).value(given), SIZES, given.current_J)
    return [int(SIZES.devices_C[column]) if column != NONE else 0 for column in column_J]


def test_the_shorter_job_gets_more_and_the_longer_one_is_not_left_out() -> None:
    short, long = devices(table(600.0, 60_000.0, restart_s=0.0), idle=0.0)

    assert short + long == 8
    assert short > long > 0


def test_a_device_that_brings_next_to_nothing_stays_idle() -> None:
    # The eighth brings 0.065 of the best speed, and the first one 0.35: less than a fifth of that.
    assert devices(table(600.0, restart_s=0.0), idle=0.0) == [8]
    assert devices(table(600.0, restart_s=0.0), idle=0.2)[0] < 8


def test_a_restart_must_pay_for_itself() -> None:
    def running(left_s: float, restart_s: float) -> Table:
        one = table(left_s, restart_s=restart_s)
        return replace(one, current_J=np.array([SIZES.column("a", 4)]), held_J=np.array([1e4]))

    # On 8 devices a job of 2,000 s saves 293 s, and one of 100 s no more than 15.
    assert devices(running(4000.0, 30.0)) == [8]
    assert devices(running(200.0, 30.0)) == [4]
    assert devices(running(4000.0, 600.0)) == [4]


def test_a_job_whose_length_is_a_guess_is_moved_less_readily() -> None:
    running = replace(
        table(700.0), current_J=np.array([SIZES.column("a", 4)]), held_J=np.array([1e4])
    )

    assert devices(running) == [8]
    assert devices(replace(running, sure_J=np.array([0.5]))) == [4]


def test_a_starting_job_is_left_alone() -> None:
    column = SIZES.column("a", 8)
    starting = replace(
        table(60_000.0, 60.0),
        current_J=np.array([column, NONE]),
        held_J=np.array([10.0, 0.0]),
        pending_J=np.array([20.0, 0.0]),
    )

    assert devices(starting) == [8, 0]
    assert devices(replace(starting, held_J=np.array([1e4, 0.0]), pending_J=np.zeros(2)))[1] > 0


@pytest.mark.parametrize("field", ["age_J", "behind"])
def test_who_waits_long_or_falls_behind_gains_weight(field: str) -> None:
    equal = table(6000.0, 6000.0)
    if field == "age_J":
        old = replace(equal, age_J=np.array([0.0, 36_000.0]), fair_done_J=np.array([0.0, 36_000.0]))
    else:
        old = replace(equal, age_J=np.array([900.0, 900.0]), fair_done_J=np.array([900.0, 0.0]))

    first, second = policy(rank=0.0).value(old)[:, 3]

    assert second > first
