"""Silence beyond a phase's bound is a hang; silence that nobody promised to break is not."""

import os
import signal
from pathlib import Path

import pytest
from tests.worker.conftest import Launch
from tests.worker.stage import ScriptedServer, until
from tests.worker.test_worker import rank_pid

from irongrid.domain.event import GangFailed, ProgressMade, RanksStopped
from irongrid.domain.failure import FailureCode
from irongrid.session.lines import PhaseLine, ProgressLine, ReadyLine
from irongrid.worker.hang import BOUND_S, HangWatch


def steps(watch: HangWatch, rank: int, count: int, step_s: float, start_s: float = 0.0) -> float:
    """Report `count` steps of equal length; returns the time of the last."""
    for step in range(count):
        watch.note(rank, ProgressLine(step=step, metrics={}), start_s + step * step_s)
    return start_s + (count - 1) * step_s


def test_a_command_that_reports_nothing_is_never_called_hung() -> None:
    watch = HangWatch()
    watch.begin((), 0.0)

    assert watch.check(10**9) is None


def test_a_command_that_reports_steps_but_no_phase_has_promised_nothing() -> None:
    watch = HangWatch()
    watch.begin((), 0.0)
    steps(watch, 0, 10, 1.0)

    assert watch.check(10**9) is None


@pytest.mark.parametrize("phase", [phase for phase in BOUND_S if phase != "step"])
def test_each_phase_has_a_bound_of_its_own(phase: str) -> None:
    watch = HangWatch()
    watch.begin([0], 0.0)
    watch.note(0, PhaseLine(name=phase), 5.0)

    assert watch.check(5.0 + BOUND_S[phase]) is None
    hang = watch.check(5.1 + BOUND_S[phase])
    assert hang is not None
    assert (hang.rank, hang.phase, hang.bound_s) == (0, phase, BOUND_S[phase])


def test_a_rank_of_the_recipe_is_watched_before_its_first_word() -> None:
    watch = HangWatch()
    watch.begin([0, 1], 0.0)
    watch.note(0, ReadyLine(), 1.0)

    assert watch.check(120.0) is None
    hang = watch.check(121.0)
    assert hang is not None
    assert (hang.rank, hang.phase) == (1, "import")


def test_slow_steps_stretch_the_bound_to_twenty_of_them() -> None:
    watch = HangWatch()
    watch.begin([0], 0.0)
    last_s = steps(watch, 0, 10, step_s=9.0)

    assert watch.check(last_s + 180.0) is None
    hang = watch.check(last_s + 180.1)
    assert hang is not None
    assert hang.bound_s == 180.0


def test_fast_steps_leave_a_minute() -> None:
    watch = HangWatch()
    watch.begin([0], 0.0)
    last_s = steps(watch, 0, 10, step_s=0.1)

    assert watch.check(last_s + 60.0) is None
    assert watch.check(last_s + 60.1) is not None


def test_an_evaluation_between_steps_is_not_a_step() -> None:
    watch = HangWatch()
    watch.begin([0], 0.0)
    last_s = steps(watch, 0, 10, step_s=0.1)
    watch.note(0, PhaseLine(name="eval"), last_s)
    watch.note(0, PhaseLine(name="step"), last_s + 500.0)
    last_s = steps(watch, 0, 2, step_s=0.1, start_s=last_s + 500.1)

    hang = watch.check(last_s + 61.0)
    assert hang is not None
    assert hang.bound_s == 60.0


def test_a_worker_that_stood_still_itself_blames_nobody() -> None:
    watch = HangWatch()
    watch.begin([0], 0.0)
    last_s = steps(watch, 0, 3, step_s=0.1)
    watch.excuse(1000.0)

    assert watch.check(last_s + 1059.0) is None
    assert watch.check(last_s + 1061.0) is not None


def test_the_rank_that_is_longest_over_its_bound_is_the_one() -> None:
    watch = HangWatch()
    watch.begin([0, 1], 0.0)
    watch.note(0, PhaseLine(name="eval"), 0.0)
    steps(watch, 1, 2, step_s=1.0)

    hang = watch.check(700.0)
    assert hang is not None
    assert hang.rank == 1


TRAINS = """
import os, time
from irongrid import session
session.phase("step")
for step in range(1, 100_000):
    session.progress(step)
    # Like a collective: nobody goes on without the others.
    open(f"at-{os.environ['RANK']}", "w").write(str(step))
    while not all(int(open(f"at-{r}").read() or 0) >= step - 1 for r in (0, 1)):
        time.sleep(0.01)
    time.sleep(0.01)
"""


def test_a_stopped_rank_is_a_hang_and_the_one_that_is_blamed(
    server: ScriptedServer, launch: Launch, tmp_path: Path
) -> None:
    for rank in (0, 1):
        (tmp_path / f"at-{rank}").write_text("0")
    # 3 s for a step: on a busy machine a rank may well get no core for one of them.
    environment = {"IRONGRID_HANG_SCALE": "0.05"}
    worker = launch("python", "-c", TRAINS, ranks=2, environment=environment)
    server.direct("run")
    server.wait(ProgressMade)
    until(lambda: int((tmp_path / "at-1").read_text() or 0) > 20, "twenty steps")
    os.kill(rank_pid(worker.others(), rank=1), signal.SIGSTOP)
    failure = server.wait(GangFailed).failure
    server.wait(RanksStopped)

    assert (failure.code, failure.rank, failure.phase) == (FailureCode.HANG, 1, "step")
    assert "its process is stopped" in failure.message
    assert not worker.others()
