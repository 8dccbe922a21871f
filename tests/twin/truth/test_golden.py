"""Recorded runs of the Sia artifact, to the second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from irongrid.twin.truth.applications import load_applications
from irongrid.twin.truth.golden import golden_runs, replay


def test_both_golden_runs_come_out_to_the_second_for_every_job(
    data: Callable[[str], Path],
) -> None:
    folder = data("sia")
    applications = load_applications(folder)

    for run in ("gavel-philly-1", "sia-philly-1"):
        assert run in golden_runs(folder / "golden")
        outcomes = replay(folder / "golden", run, applications)
        assert len(outcomes) == 160
        assert [outcome for outcome in outcomes if not outcome.exact] == []


def test_a_shifted_decision_is_noticed(data: Callable[[str], Path], tmp_path: Path) -> None:
    """The check can fail: the first job's record says one second more."""
    folder = data("sia")
    golden = folder / "golden"
    events = "gavel-philly-1-events.csv.gz"
    (tmp_path / events).write_bytes((golden / events).read_bytes())
    lines = (golden / "gavel-philly-1-jobs.csv").read_text().splitlines()
    assert ",743.0," in lines[1]
    shifted = [lines[0], lines[1].replace(",743.0,", ",744.0,"), *lines[2:]]
    (tmp_path / "gavel-philly-1-jobs.csv").write_text("\n".join(shifted))

    outcomes = replay(tmp_path, "gavel-philly-1", load_applications(folder))

    assert [o.expected.job for o in outcomes if not o.exact] == [lines[1].partition(",")[0]]


@pytest.mark.parametrize("name", ["jobs", "events"])
def test_a_folder_without_runs_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / f"x-{name}.csv").write_text("")

    with pytest.raises(Exception, match=r"holds no \*-events.csv.gz"):
        golden_runs(tmp_path)
