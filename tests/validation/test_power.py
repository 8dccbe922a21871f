"""Measured power: the claims of `validation/power.py` hold, and would not for another model."""

from pathlib import Path

import pytest
from tests.validation.measured import require

from irongrid.spec.catalog import load_coefficients
from validation import power


@pytest.fixture(autouse=True)
def traces() -> Path:
    return require(power.TRACES)


def test_draw_follows_the_model_on_every_measured_device() -> None:
    _, claims = power.run(exponent=load_coefficients()["power_exponent"])

    assert {name: claim for name, claim in claims.items() if not claim["holds"]} == {}
    assert len(claims) == 4 * len(power.DEVICES) + 3


def test_a_rate_that_follows_the_cap_one_to_one_does_not_fit_the_measured_times() -> None:
    _, claims = power.run(exponent=1.0)

    assert not any(claims[f"{device}_capped_time_error_pct"]["holds"] for device in power.DEVICES)


def test_a_level_for_all_jobs_does_not_fit_the_measured_draws() -> None:
    runs = power.read("v100")
    found = power.shares_of("v100", runs)
    one_level = power.Shares(found.busy, found.busy)

    assert power.level_error("v100", runs, one_level) > 5 * power.level_error("v100", runs, found)
