"""The clock of the log."""

import time

import pytest

from irongrid.server.clock import ResumedClock, SteadyClock

# Between two looks at a clock a busy machine may do something else.
ONE_MINUTE_NS = 60 * 10**9


def test_setting_the_machines_clock_moves_no_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    before = clock.now_ns()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert before <= clock.now_ns() < before + ONE_MINUTE_NS


def test_it_starts_at_wall_time() -> None:
    assert abs(SteadyClock().now_ns() - time.time_ns()) < ONE_MINUTE_NS


def test_after_the_machines_clock_was_set_back_time_goes_on_from_the_last_stamp() -> None:
    clock = SteadyClock()
    ahead_ns = clock.now_ns() + 3600 * 10**9
    resumed = ResumedClock(clock, ahead_ns)
    first = resumed.now_ns()
    time.sleep(0.01)

    assert first - ahead_ns < ONE_MINUTE_NS
    assert resumed.now_ns() - first >= 10**7


def test_a_last_stamp_in_the_past_changes_nothing() -> None:
    clock = SteadyClock()

    assert abs(ResumedClock(clock, 5).now_ns() - clock.now_ns()) < ONE_MINUTE_NS
