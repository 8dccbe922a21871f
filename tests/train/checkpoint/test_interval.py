"""`every: auto`: more stall means rarer, more failures mean more often, within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irongrid.domain.job import CheckpointPolicy
from irongrid.train.checkpoint.interval import (
    LONGEST_S,
    Pacer,
    interval_s,
    mean_time_to_failure_s,
    young_daly_s,
)

positive = st.floats(1e-3, 1e6)


def test_the_interval_follows_young_and_daly() -> None:
    # A stall of 2 s and a failure every 10,000 s: sqrt(2 * 2 * 10,000) - 2 = 198 s.
    assert young_daly_s(stall_s=2.0, failure_s=10_000.0) == pytest.approx(198.0)


def test_the_young_daly_interval_loses_less_than_others() -> None:
    def lost_share(interval: float) -> float:
        return 2.0 / interval + (interval / 2) / 10_000.0

    best = young_daly_s(stall_s=2.0, failure_s=10_000.0)

    assert all(lost_share(best) <= lost_share(best * f) + 1e-4 for f in (0.5, 0.8, 1.25, 2.0))


def test_before_any_failure_of_its_own_a_job_expects_the_fleets_rate() -> None:
    # 4.18 per 1,000 node-days: 16 nodes fail every 14.95 days.
    rate_s = mean_time_to_failure_s(nodes=16, failures=0, running_s=50.0)
    assert rate_s == pytest.approx(1000 / 4.18 / 16 * 86_400)
    assert mean_time_to_failure_s(nodes=16, failures=3, running_s=600.0) == 200.0


@given(stall_s=positive, write_s=positive, failure_s=positive, run_s=positive)
def test_saving_takes_at_most_a_tenth_of_the_time_up_to_half_an_hour(
    stall_s: float, write_s: float, failure_s: float, run_s: float
) -> None:
    chosen = interval_s(stall_s=stall_s, write_s=write_s, failure_s=failure_s, run_s=run_s)

    assert chosen <= LONGEST_S
    assert chosen >= min(LONGEST_S, 10 * write_s)


def test_a_short_run_saves_about_twenty_times() -> None:
    assert interval_s(stall_s=0.005, write_s=0.05, failure_s=2e7, run_s=40.0) == 2.0


@given(stall_s=positive, failure_s=positive)
def test_more_failures_never_mean_a_longer_interval(stall_s: float, failure_s: float) -> None:
    often = interval_s(stall_s=stall_s, write_s=0.1, failure_s=failure_s / 2, run_s=1e9)
    seldom = interval_s(stall_s=stall_s, write_s=0.1, failure_s=failure_s, run_s=1e9)

    assert often <= seldom


def pacer(policy: CheckpointPolicy) -> Pacer:
    return Pacer(
        policy=policy, nodes=1, size_bytes=10**6, started_s=100.0, failures=0, earlier_s=0.0
    )


def test_every_steps_and_every_s_mean_what_they_say() -> None:
    by_steps = pacer(CheckpointPolicy(every_steps=5))
    by_time = pacer(CheckpointPolicy(every_s=30.0))

    due = [s for s in range(1, 21) if by_steps.due(step=s, steps=99, step_time_s=1.0, now_s=0.0)]
    assert due == [5, 10, 15, 20]
    assert not by_time.due(step=1, steps=99, step_time_s=1.0, now_s=129.0)
    assert by_time.due(step=1, steps=99, step_time_s=1.0, now_s=130.0)


def test_a_slow_disk_makes_auto_save_less_often() -> None:
    auto = pacer(CheckpointPolicy())
    assert auto.due(step=9, steps=1000, step_time_s=0.1, now_s=105.1)

    auto.measured(stall_s=0.01, write_s=20.0)

    assert not auto.due(step=9, steps=1000, step_time_s=0.1, now_s=299.0)
    assert auto.due(step=9, steps=1000, step_time_s=0.1, now_s=300.0)
