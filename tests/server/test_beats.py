"""Telemetry in memory: bounded, merged into what is shown."""

from typing import Any

from irongrid.domain.ids import JobId, job_id
from irongrid.domain.messages import Beat, JobRow
from irongrid.server.beats import FIGURES, JOBS, Beats, finite

JOB = JobId("j000001")


def row(**change: Any) -> JobRow:
    values: dict[str, Any] = {
        "job_id": JOB, "name": "n", "state": "running", "wait_code": "", "devices": 1,
        "nodes": ("n0",), "epoch": 1, "step": 3, "steps_total": 9, "restarts": 0,
        "submitted_at_ns": 1, "ended_at_ns": 0, "wall_s": 1.0, **change,
    }  # fmt: skip
    return JobRow(**values)


def test_the_latest_step_shows_while_the_job_runs() -> None:
    beats = Beats()
    beats.keep(JOB, 1, Beat(step=7))

    assert beats.row(row()).step == 7
    assert beats.row(row(ended_at_ns=5)).step == 3
    assert beats.row(row(epoch=2)).step == 3


def test_a_gang_that_starts_again_further_back_shows_so() -> None:
    beats = Beats()
    beats.keep(JOB, 1, Beat(step=7, metrics={"loss": 1.0}))
    beats.keep(JOB, 1, Beat(step=4))

    assert beats.row(row()).step == 4


def test_memory_is_bounded_in_figures_and_jobs() -> None:
    beats = Beats()
    for number in range(3):
        beats.keep(JOB, 1, Beat(metrics={f"{number}-{i}": 1.0 for i in range(FIGURES)}))
    assert len(beats._latest[JOB].metrics) == FIGURES

    for number in range(1, JOBS + 10):
        beats.keep(job_id(number), 1, Beat(step=1))
        beats.request_save(job_id(number), 0)
    assert len(beats._latest) == len(beats._saves) == JOBS


def test_the_number_of_a_request_to_save_rises_even_after_a_restart() -> None:
    before, after = Beats(), Beats()
    before.request_save(JOB, 5_000_000_000)
    before.request_save(JOB, 5_000_000_000)
    after.request_save(JOB, 6_000_000_000)

    assert 0 < before.saves(JOB).number < after.saves(JOB).number
    assert before.saves(JobId("other")).number == 0


def test_only_finite_figures_are_kept() -> None:
    figures = {"a": 1.0, "b": float("nan"), "c": float("-inf")}

    assert finite(figures) == {"a": 1.0}
