"""Blows in random order, at random moments, some before the last one has healed: all ends well."""

import os
import random
import time
from collections.abc import Callable

import pytest
from tests.integration.conftest import Losses, OpenHouse
from tests.integration.house import House, freeze, kill, thaw
from tests.integration.jobs import STEPS, training
from tests.integration.processes import Process, Role
from tests.integration.verdict import faults

from irongrid.domain.job import JobState

pytestmark = pytest.mark.slow

BLOWS = 10
LONGEST_PAUSE_S = 2.5
NAP_S = 0.5


class Storm:
    """Strikes a house. `told` says how, for whoever has to find out why a test failed."""

    def __init__(self, house: House, seed: int) -> None:
        self.told: list[str] = []
        self._house = house
        self._chance = random.Random(seed)

    def strike(self) -> None:
        """One blow, then a pause."""
        blow: Callable[[], str] = self._chance.choice(
            [
                lambda: self._kill(Role.RANK),
                lambda: self._kill(Role.RANK),
                lambda: self._kill(Role.WORKER),
                lambda: self._kill(Role.ZYGOTE),
                self._restart,
                self._nap,
            ]
        )
        self.told.append(blow())
        time.sleep(self._chance.uniform(0.0, LONGEST_PAUSE_S))

    def _kill(self, role: Role) -> str:
        victim = self._one_of(self._house.processes(role=role))
        if victim is not None:
            kill(victim)
        return f"kill {victim}"

    def _nap(self) -> str:
        """Everything of one job stands still for a moment, as on a machine without memory."""
        sleeper = self._one_of(self._house.processes(role=Role.WORKER))
        asleep = self._house.processes(sleeper.job) if sleeper is not None else []
        freeze(*asleep)
        time.sleep(NAP_S)
        thaw(*asleep)
        return f"nap of {sleeper}"

    def _restart(self) -> str:
        self._house.kill_server()
        self._house.up()
        return "restart"

    def _one_of(self, found: list[Process]) -> Process | None:
        return self._chance.choice(found) if found else None


@pytest.mark.parametrize("seed", [int(os.environ.get("STORM_SEED", "1"))])
def test_training_goes_through_a_storm_and_comes_out_as_if_nothing_had_been(
    open_house: OpenHouse, undisturbed: Losses, seed: int
) -> None:
    house = open_house(nodes="4x1")
    retries = {"max": BLOWS}  # A storm may strike a job again and again before it can save.
    gangs = [house.submit(training(retries=retries)) for _ in range(2)]
    storm = Storm(house, seed)
    house.reaches(gangs[0], "running")
    for _ in range(BLOWS):
        storm.strike()
        if all(JobState(house.job(job).row.state).final for job in gangs):
            break
    details = [house.reaches(job, "succeeded") for job in gangs]

    for job, detail in zip(gangs, details, strict=True):
        assert house.losses(job) == undisturbed, storm.told
        assert detail.row.step == STEPS
        causes = [failure.cause for attempt in detail.attempts for failure in attempt.failures]
        assert set(causes) <= {"infrastructure"}, storm.told
    assert faults(house) == [], storm.told
