"""How far predictions may be from measured runs: the limits of the planner, on rows left out.

Longer ones refit for every group of rows; a quick one leaves a few models out.
"""

from collections.abc import Callable

import numpy as np
import pytest
from tests.validation.measured import require
from validation.errors import KINDS, errors_of, floor_errors
from validation.fit import SPREAD
from validation.holdout import calibration_rows, left_out
from validation.learn import Learnt, Prediction, learn, learnt_from, predict, usable
from validation.names import device_of
from validation.plan_regret import correlations, regrets
from validation.rows import Row, measured_csv, read_rows
from validation.settle import settled

from irongrid.spec.catalog import load_coefficients

CALIBRATION = 3


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return usable(settled(read_rows(require(measured_csv()))))


@pytest.fixture(scope="module")
def shipped() -> Learnt:
    return learnt_from(load_coefficients())


def of_kind(rows: list[Row], kind: str) -> list[Row]:
    return [row for row in rows if row.source in KINDS[kind]]


def elsewhere(rows: list[Row], wanted: list[Row]) -> list[Row]:
    """Rows whose device another source measured as well."""
    names = {row.gpu: device_of(row.gpu, None).accelerator.name for row in rows}
    sources: dict[str, set[str]] = {}
    for row in rows:
        sources.setdefault(names[row.gpu], set()).add(row.source)
    return [row for row in wanted if len(sources[names[row.gpu]]) > 1]


def covered(rows: list[Row], time: Prediction) -> float:
    measured = np.array([row.step_time_s for row in rows], dtype=float)
    return float(np.mean(time.step_time_s_p90 >= measured))


def test_the_shipped_fit_explains_the_rows_that_it_saw(rows: list[Row], shipped: Learnt) -> None:
    time = predict(rows, shipped.coefficients)
    error = np.abs(errors_of(rows, time))

    assert len(rows) > 1200
    assert np.mean(error) < 0.03
    assert covered(rows, time) > 0.95


def test_the_first_choice_among_measured_configurations_holds(
    rows: list[Row], shipped: Learnt
) -> None:
    time_s = predict(rows, shipped.coefficients).step_time_s
    regret, rank = regrets(rows, time_s), correlations(rows, time_s)

    assert np.mean(regret["vtrain_multi"]) < 0.013
    assert np.mean(regret["vtrain_single"]) < 0.01
    assert np.mean(rank["vtrain_multi"]) > 0.75
    assert np.mean(rank["vtrain_single"]) > 0.95


def test_a_pipeline_model_that_the_fit_never_saw_is_within_7_per_cent(
    rows: list[Row], shipped: Learnt
) -> None:
    """A quick one of the many that the longer test leaves out."""
    apart = [row for row in rows if row.model == "GPT-28.3B"]
    known = [row for row in rows if row.source in KINDS["dense"]]

    time = left_out(apart, known, shipped, "model")

    assert len(apart) == 12
    assert np.mean(np.abs(errors_of(apart, time))) < 0.07


@pytest.fixture(scope="module")
def start(rows: list[Row]) -> Learnt:
    return learn(rows, rounds=40, spread=SPREAD)


LeaveOut = Callable[[str, str, int], tuple[list[Row], Prediction]]


@pytest.fixture(scope="module")
def leave_out(rows: list[Row], start: Learnt) -> LeaveOut:
    def run(kind: str, by: str, calibrate: int) -> tuple[list[Row], Prediction]:
        wanted = of_kind(rows, kind)
        if by == "source":
            wanted = elsewhere(rows, wanted)
        time = left_out(wanted, rows, start, by, calibrate)
        spent = {row.row_id for row in calibration_rows(wanted, calibrate)}
        keep = np.array([row.row_id not in spent for row in wanted])
        left = [row for row, kept in zip(wanted, keep, strict=True) if kept]
        return left, Prediction(
            time.step_time_s[keep], time.step_time_s_p90[keep], time.novelty[keep]
        )

    return run


# Kind of rows, what is left out, calibration rows: mean and median error in per cent, at most.
LIMITS = [
    ("dense", "model", 0, 7.0, 4.5),
    ("dense", "source", 0, 9.0, 5.0),
    ("dense", "source", CALIBRATION, 7.0, 5.0),
    ("vtrain_single", "model", 0, 4.0, 4.0),
    ("modern", "model", 0, 9.0, 5.0),
    ("modern", "model", CALIBRATION, 8.0, 5.0),
    ("modern", "source", 0, 9.0, 8.0),
    ("modern", "source", CALIBRATION, 10.0, 5.0),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "by", "calibrate", "mean", "median"), LIMITS)
def test_rows_left_out_are_within_the_limits(
    leave_out: LeaveOut, kind: str, by: str, calibrate: int, mean: float, median: float
) -> None:
    left, time = leave_out(kind, by, calibrate)
    error = 100 * np.abs(errors_of(left, time))

    assert np.mean(error) <= mean
    assert np.median(error) <= median
    assert covered(left, time) >= 0.9
    assert np.mean(error) < 50 * np.mean(np.abs(floor_errors(left)))
