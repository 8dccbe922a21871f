"""Finish-time fairness, beside what was measured of a recorded run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from irongrid.twin.fleets import sia_cluster
from irongrid.twin.truth.isolated import load_isolated, mean_active
from irongrid.twin.truth.tables import number, rows


def test_active_jobs_are_counted_over_each_jobs_own_lifetime() -> None:
    # The first is alone for 10 of its 20 s; the second never is.
    found = mean_active(np.array([0.0, 10.0]), np.array([20.0, 20.0]))

    assert found == pytest.approx([1.5, 2.0])


def test_fairness_of_the_gavel_run_is_what_the_baselines_say(data: Callable[[str], Path]) -> None:
    folder = data("sia")
    isolated = load_isolated(folder, sia_cluster(folder, "heterogeneous-64"))
    path = folder / "golden" / "gavel-philly-1-jobs.csv"
    rho = np.array(
        [
            number(path, line, row, "jct_s")
            / isolated.runtime_s(
                row["job"].rpartition("-")[0], number(path, line, row, "mean_active_jobs")
            )
            for line, row in rows(path, ("job", "jct_s", "mean_active_jobs"))
        ]
    )

    # baselines.csv: mean 1.322, largest 6.643, 40.6 % above 1.
    assert (round(rho.mean(), 3), round(rho.max(), 3)) == (1.322, 6.643)
    assert round(100 * float((rho > 1).mean()), 1) == 40.6


def test_active_jobs_of_the_gavel_run_are_close_to_its_own_count(
    data: Callable[[str], Path],
) -> None:
    path = data("sia") / "golden" / "gavel-philly-1-jobs.csv"
    columns = ("submit_s", "completion_s", "mean_active_jobs")
    table = np.array(
        [[number(path, line, row, name) for name in columns] for line, row in rows(path, columns)]
    )

    found = mean_active(table[:, 0], table[:, 1])

    # The record counts at the boundaries of its rounds of 360 s.
    assert float(np.median(np.abs(found - table[:, 2]) / table[:, 2])) < 0.05
