"""Peak memory against measured runs: what ships, and runs that a fit did not see."""

import json
from typing import Any

import numpy as np
import pytest
from tests.validation.measured import require
from validation.memory_fit import GIB, Runs, fit, usable
from validation.rows import measured_csv, read_rows

from validation import memory_fit


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs.of(usable(read_rows(require(measured_csv()))))


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(memory_fit.FILE.read_text(encoding="utf-8"))
    return document


def test_the_shipped_figures_hold_for_every_printed_peak(
    runs: Runs, shipped: dict[str, Any]
) -> None:
    printed = np.isfinite(runs.measured_gib)
    said, measured = runs.predicted(shipped), runs.measured_gib[printed]
    p50, p95 = said.p50_bytes[printed] / GIB, said.p95_bytes[printed] / GIB

    assert len(measured) == 72
    assert np.mean(np.abs(p50 / measured - 1)) < 0.04
    assert np.mean(p95 >= measured) >= 0.95
    assert np.mean(p95 / measured - 1) < 0.18


def test_runs_that_ran_are_said_to_fit_their_device(runs: Runs, shipped: dict[str, Any]) -> None:
    said = runs.predicted(shipped)
    room = np.asarray(runs.machine.memory_bytes)

    assert len(room) > 1000
    assert np.mean(said.p50_bytes <= room) > 0.99
    # Many of these runs were chosen to fill the device: a model that is far too low would show.
    full = (runs.source == "llmfoundry_a100") & np.isfinite(said.p50_bytes)
    assert np.median((said.p50_bytes / room)[full]) > 0.5


def test_a_pipeline_that_the_fit_never_saw_is_predicted_within_6_per_cent(
    runs: Runs, shipped: dict[str, Any]
) -> None:
    out = runs.model == "zero_bubble GPT-28.3B"
    left = runs.only(out)
    said = left.predicted(fit(shipped, runs.only(~out & np.isfinite(runs.measured_gib))))

    assert len(left.measured_gib) == 12
    assert np.mean(np.abs(said.p50_bytes / GIB / left.measured_gib - 1)) < 0.06
    assert np.all(said.p95_bytes / GIB >= left.measured_gib)


def test_the_fit_has_its_data_to_thank(runs: Runs, shipped: dict[str, Any]) -> None:
    priors = memory_fit.document_of(shipped, np.zeros(len(memory_fit.PARAMETERS)))
    printed = np.isfinite(runs.measured_gib)

    def error(document: dict[str, Any]) -> float:
        said = runs.predicted(document).p50_bytes / GIB
        return float(np.mean(np.abs(said / runs.measured_gib - 1)[printed]))

    assert error(priors) > 1.5 * error(shipped)


@pytest.mark.slow
def test_all_claims_hold_for_runs_that_the_fits_did_not_see(
    capsys: pytest.CaptureFixture[str],
) -> None:
    require(measured_csv())

    assert memory_fit.main(["--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result["claims"]) == {
        "model_left_out_mean_error_pct",
        "model_left_out_p95_covers_pct",
        "model_left_out_p95_excess_pct",
        "source_left_out_p95_covers_pct",
    }


@pytest.mark.slow
def test_the_shipped_file_is_what_the_fit_gives(runs: Runs, shipped: dict[str, Any]) -> None:
    document = fit(shipped, runs)

    for name, value in document["shared"].items():
        assert value == pytest.approx(shipped["shared"][name], rel=0.02), name
