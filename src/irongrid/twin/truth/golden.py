"""Replaying a recorded run: every decision of another simulator, and what came of it.

A golden run is a pair of files, `<run>-events.csv.gz` and `<run>-jobs.csv`, in the format of
`data/sia/README.md`. Its decisions are given; speeds, epochs and restarts are ours.
"""

from dataclasses import dataclass
from functools import reduce
from math import gcd
from pathlib import Path

from irongrid.twin.truth.applications import Application
from irongrid.twin.truth.tables import bad, number, rows
from irongrid.twin.truth.training import Configuration, Training

_EVENTS = ("job", "time_s", "gpu_type", "placement", "atomic_bsz", "accum_steps")
_PENDING = "pending_restart_s"


@dataclass(frozen=True, slots=True)
class Step:
    """From `at_s` on, the job runs like this; `restart_s` is still to be served then."""

    at_s: int
    configuration: Configuration
    restart_s: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What the recorded run said of one job."""

    job: str
    submit_s: float
    completion_s: float
    gpu_s: float
    restart_gpu_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job's replay beside the record."""

    expected: Expected
    completion_s: float | None
    gpu_s: float
    restart_gpu_s: float

    @property
    def exact(self) -> bool:
        """The completion second and the GPU-seconds are those of the record."""
        return (
            self.completion_s == self.expected.completion_s
            and abs(self.gpu_s - self.expected.gpu_s) < 0.5
            and abs(self.restart_gpu_s - self.expected.restart_gpu_s) < 0.5
        )


def golden_runs(folder: Path) -> list[str]:
    """The names of the runs in a folder.

    Raises:
        SpecError: there is none.
    """
    ends = "-events.csv.gz"
    found = sorted(path.name.removesuffix(ends) for path in folder.glob(f"*{ends}"))
    if not found:
        raise bad(folder, None, "", f"holds no *{ends}", "Name a folder with golden runs")
    return found


def replay(folder: Path, run: str, applications: dict[str, Application]) -> list[Outcome]:
    """Each job of a run, replayed by its own recorded decisions.

    Raises:
        SpecError: a file is broken, or names an unknown application.
    """
    steps = _steps(folder / f"{run}-events.csv.gz")
    round_s = _round_s(steps)
    outcomes = []
    path = folder / f"{run}-jobs.csv"
    for expected in _expected(path):
        name = expected.job.rpartition("-")[0]
        if name not in applications:
            fix = f"Use one of {', '.join(applications)}"
            raise bad(path, None, "job", f"{expected.job}: unknown application {name!r}", fix)
        training = Training(applications[name], 0.0)
        _run(training, steps.get(expected.job, []), round_s)
        outcomes.append(
            Outcome(expected, training.completed_at_s, training.held_gpu_s, training.restart_gpu_s)
        )
    return outcomes


def recorded_configurations(folder: Path, run: str) -> list[tuple[str, Configuration]]:
    """Every job's non-empty configurations in a run's record, with the job's name."""
    return [
        (job, step.configuration)
        for job, steps in _steps(folder / f"{run}-events.csv.gz").items()
        for step in steps
        if step.configuration.shape
    ]


def _run(training: Training, steps: list[Step], round_s: int) -> None:
    """Advance from step to step and round to round; after the last step, to the end."""
    at = 0
    while training.completed_at_s is None:
        if at < len(steps) and steps[at].at_s <= training.at_s:
            training.configure(steps[at].configuration, steps[at].restart_s)
            at += 1
            continue
        if at == len(steps) and not training.configuration.shape:
            return  # The record leaves it without GPUs for ever.
        # An epoch's end inside a round stops the clock there, where a new batch size may apply.
        training.advance((training.at_s // round_s + 1) * round_s)


def _round_s(steps: dict[str, list[Step]]) -> int:
    """The length of a round: restarts are only ever ordered at its boundaries."""
    return reduce(gcd, (step.at_s for each in steps.values() for step in each if step.restart_s))


def _steps(path: Path) -> dict[str, list[Step]]:
    """Steps by job in order of time; of several rows at one time the last holds."""
    found: dict[str, dict[int, Step]] = {}
    for line, row in rows(path, (*_EVENTS, _PENDING)):
        at_s = int(number(path, line, row, "time_s"))
        shape = tuple(int(gpus) for gpus in row["placement"].split("-") if gpus)
        local_bsz, accum_steps = row["atomic_bsz"] or "0", row["accum_steps"] or "0"
        run = Configuration(row["gpu_type"], shape, int(local_bsz), int(accum_steps))
        restart_s = number(path, line, row, _PENDING) if row[_PENDING] else 0.0
        found.setdefault(row["job"], {})[at_s] = Step(at_s, run, restart_s)
    return {job: [by_time[at_s] for at_s in sorted(by_time)] for job, by_time in found.items()}


def _expected(path: Path) -> list[Expected]:
    columns = ("submit_s", "completion_s", "gpu_seconds", "gpu_seconds_in_restart")
    return [
        Expected(row["job"], *(number(path, line, row, column) for column in columns))
        for line, row in rows(path, ("job", *columns))
    ]
