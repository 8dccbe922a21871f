"""The clock of the log."""

import time

import pytest

from irongrid.server.clock import SteadyClock


def test_setting_the_machines_clock_moves_no_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    before = clock.now_ns()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert before <= clock.now_ns() < before + 10**9


def test_it_starts_at_wall_time() -> None:
    assert abs(SteadyClock().now_ns() - time.time_ns()) < 10**8
