"""Somebody sets the machine's clock, by an hour, forward and back: nothing notices."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from tests.integration.conftest import Losses, OpenHouse, tool
from tests.integration.house import DEADLINE_S, House
from tests.integration.jobs import command, training
from tests.integration.verdict import faults

from irongrid.units import NS_PER_S

pytestmark = pytest.mark.slow

HOUR_S = 3600
# Fails, waits for its second retry, and then ends well: 1 s of back-off.
FAILS_TWICE = "echo >> tries; [ $(wc -l < tries) -ge 3 ] || kill -KILL $$"


class Clock:
    """The clock of a server and of everything below it."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._file = folder / "clock"
        self._file.write_text("0")
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_STEP_FILE": str(self._file)}

    def step(self, step_s: int) -> None:
        """Set the clock off by so many seconds, at once."""
        beside = self._file.with_suffix(".new")
        beside.write_text(str(step_s))
        beside.rename(self._file)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shim, compiled."""
    built = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock_shim.c")
    argv = [tool("gcc", "gcc"), "-shared", "-fPIC", "-O2", "-o", str(built), str(source)]
    subprocess.run(argv, check=True, timeout=DEADLINE_S)
    return built


@pytest.fixture
def clock(tmp_path: Path, library: Path) -> Clock:
    """A clock to step."""
    return Clock(tmp_path, library)


def wall_clock_s(clock: Clock) -> float:
    """What a process below that clock takes for the time."""
    argv = ["python3", "-c", "import time; print(time.time())"]
    done = subprocess.run(
        argv, env=clock.environment, capture_output=True, text=True, timeout=DEADLINE_S
    )
    return float(done.stdout)


def limited() -> dict[str, object]:
    """A job that may run for half an hour, and does not."""
    return command("while [ ! -e go ]; do sleep 0.05; done; true", limits={"max_duration": "30m"})


def stamps(house: House) -> list[int]:
    """When each event happened."""
    return [row.at_ns for row in house.client.all_events()]


def test_a_clock_that_steps_under_a_running_server_ends_no_timer_and_starts_none(
    open_house: OpenHouse, clock: Clock, tmp_path: Path, undisturbed: Losses
) -> None:
    house = open_house(nodes="1x4", environment=clock.environment)
    assert abs(wall_clock_s(clock) - time.time()) < 60
    began_s = time.monotonic()
    running = house.submit(limited() | {"workdir": str(tmp_path)})
    trains = house.submit(training())
    house.wait_step(trains, 20)
    clock.step(HOUR_S)
    assert abs(wall_clock_s(clock) - time.time() - HOUR_S) < 60
    forward = house.submit(command(FAILS_TWICE, workdir=str(tmp_path)))
    house.reaches(forward, "succeeded")
    (tmp_path / "tries").unlink()
    clock.step(-HOUR_S)
    back = house.submit(command(FAILS_TWICE, workdir=str(tmp_path)))
    failed_twice = house.reaches(back, "succeeded")
    trained = house.reaches(trains, "succeeded")
    (tmp_path / "go").touch()
    ran = house.reaches(running, "succeeded")
    lasted_s = time.monotonic() - began_s

    assert stamps(house) == sorted(stamps(house))
    assert failed_twice.row.restarts == 2
    assert 1 < failed_twice.time_account_s.wall_s < lasted_s
    assert max(ran.time_account_s.wall_s, trained.time_account_s.wall_s) < lasted_s
    assert (ran.row.restarts, trained.row.restarts) == (0, 0)
    assert house.losses(trains) == undisturbed
    assert faults(house) == []


def test_a_server_that_starts_an_hour_before_its_last_event_goes_on_from_that_event(
    open_house: OpenHouse, clock: Clock, tmp_path: Path
) -> None:
    house = open_house(environment=clock.environment)
    running = house.submit(limited() | {"workdir": str(tmp_path)})
    house.reaches(running, "running")
    house.kill_server()
    clock.step(-HOUR_S)
    house.up()
    last_ns = stamps(house)[-1]
    began_s = time.monotonic()
    back = house.submit(command(FAILS_TWICE, workdir=str(tmp_path)))
    failed_twice = house.reaches(back, "succeeded")
    (tmp_path / "go").touch()
    ran = house.reaches(running, "succeeded")
    lasted_s = time.monotonic() - began_s

    assert stamps(house) == sorted(stamps(house))
    assert stamps(house)[-1] - last_ns > NS_PER_S  # Time goes on, it does not stand still.
    assert failed_twice.time_account_s.recovering_s > 1
    assert (ran.row.epoch, ran.row.restarts) == (1, 0)
    assert ran.time_account_s.wall_s < lasted_s + 60
    assert json.loads(house.cli("ps", "--all", "--json"))["jobs"][0]["wall_s"] < lasted_s + 60
    assert faults(house) == []
