"""Progress of one job over time, on figures that can be followed by hand."""

import pytest

from irongrid.twin.truth.applications import Application
from irongrid.twin.truth.profiles import profile
from irongrid.twin.truth.statistics import Measured, Statistics
from irongrid.twin.truth.training import IDLE, Configuration, Training

# At the initial batch of 8, one step of 0.5 s is one unit of progress.
STATISTICS = Statistics(
    8,
    {
        8: [Measured(1.0, 1.0, 100.0), Measured(1.0, 1.0, 200.3)],
        16: [Measured(1.0, 3.0, 101.0), Measured(1.0, 3.0, 201.0)],
    },
)
APPLICATION = Application(
    name="app",
    init_batch_size=8,
    max_batch_size=64,
    max_epochs=2,
    restart_delay_s=30,
    slowdown=1.0,
    limits={},
    profiles={"t4": profile([((1,), 8, 0.5, 0.0), ((1,), 16, 0.5, 0.0)], [], 1)},
    statistics=STATISTICS,
)
ONE = Configuration("t4", (1,), 8, 0)


def test_a_larger_batch_gains_less_than_its_size() -> None:
    # Twice the batch where variance and squared norm are equal: (1 + 1) / (1 / 2 + 1).
    assert STATISTICS.gain(8, 0) == 1.0
    assert Statistics(8, {8: [Measured(1, 1, 1)], 16: [Measured(1, 1, 1)]}).gain(
        16, 0
    ) == pytest.approx(4 / 3)


def test_statistics_between_two_batch_sizes_are_linear() -> None:
    assert STATISTICS.gradient(12, 0) == (1.0, 2.0)


def test_an_epoch_ends_on_a_whole_second_and_the_next_one_begins_there() -> None:
    training = Training(APPLICATION, 0.0)
    training.configure(ONE)

    assert training.advance(60.0)
    assert (training.at_s, training.epoch, training.progress) == (50.0, 1, 100.0)
    # 100.3 units at 2 per second: 50.15 s, rounded to 50.
    assert training.advance(200.0)
    assert training.completed_at_s == 100.0


def test_a_restart_holds_gpus_and_makes_no_progress() -> None:
    training = Training(APPLICATION, 0.0)
    training.configure(ONE, restart_s=30.0)

    assert not training.advance(40.0)
    assert (training.progress, training.held_gpu_s, training.restart_gpu_s) == (20.0, 40.0, 30.0)


def test_a_suspended_job_only_waits() -> None:
    training = Training(APPLICATION, 0.0)
    training.configure(IDLE)

    assert not training.advance(40.0)
    assert (training.at_s, training.progress, training.held_gpu_s) == (40.0, 0.0, 0.0)
