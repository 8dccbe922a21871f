"""Measured steps of a person's own runs, from a CSV, as points to calibrate with."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from irongrid.cost.adjust import adjusted
from irongrid.cost.coefficients import Coefficients
from irongrid.cost.columns import Layout, Machine, Work
from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.recalibrate import Points
from irongrid.cost.step import step_time
from irongrid.domain.fleet import Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import PRECISIONS, RECOMPUTE, SCHEDULES, ZERO, ParallelPlan
from irongrid.domain.training import Training
from irongrid.errors import IrongridError, Problem, SpecError
from irongrid.planner.question import Question
from irongrid.spec.catalog import catalog_name, model
from irongrid.spec.document import read_file

ROWS_MAX = 10_000
COUNT_MAX = 2**24
# Columns, with the value that an empty or missing one has; None must be there.
COUNTS: Mapping[str, int | None] = {
    "gpus": None, "gbs": None, "seq": None, "mbs": 1, "tp": 1, "pp": 1, "vp": 1, "cp": 1, "ep": 1,
}  # fmt: skip
WORDS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "precision": (PRECISIONS, ""),
    "schedule": (SCHEDULES, ""),
    "zero": (ZERO, "1"),
    "recompute": (RECOMPUTE, "none"),
}
OTHERS = ("model", "gpu", "dp", "step_time_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Coefficients that have seen a person's own steps.

    Attributes:
        rows: measured steps.
        error_before, error_after: mean absolute error of the predicted step time at the rows, as
            a share; after is not a promise for other runs.
    """

    coefficients: Coefficients
    rows: int
    error_before: float
    error_after: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured step."""

    shape: ModelShape
    training: Training
    pool: Pool
    plan: ParallelPlan
    step_time_s: float


def calibrated(path: str, question: Question, coefficients: Coefficients) -> Calibration:
    """The coefficients, moved by the measured steps of a file.

    Raises:
        SpecError: every row that cannot be used, with its line.
    """
    points = measured_points(path, question)
    moved = adjusted(points, coefficients).coefficients
    return Calibration(
        coefficients=moved,
        rows=points.step_time_s.size,
        error_before=_error(points, coefficients),
        error_after=_error(points, moved),
    )


def _error(points: Points, coefficients: Coefficients) -> float:
    step = step_time(points.work, points.machine, points.layout, coefficients)
    return float(np.mean(np.abs(step.p50_s / points.step_time_s - 1)))


def measured_points(path: str, question: Question) -> Points:
    """The points of a file. What a row leaves open is as in the question.

    Raises:
        SpecError: every row that cannot be used, with its line.
    """
    reader = csv.DictReader(io.StringIO(read_file(path)))
    names = {(name or "").strip() for name in reader.fieldnames or ()}
    missing = [name for name, value in COUNTS.items() if value is None and name not in names]
    missing += [] if "step_time_s" in names else ["step_time_s"]
    if missing:
        fix = (
            f"name the columns in the first line; known are {', '.join((*COUNTS, *WORDS, *OTHERS))}"
        )
        problem = f"has no column {', '.join(missing)}"
        raise SpecError([Problem(field="", problem=problem, fix=fix, source=path, line=1)])
    found: list[Measured] = []
    problems: list[Problem] = []
    for number, row in enumerate(reader, start=2):
        if number > ROWS_MAX + 1:
            fix = f"give at most {ROWS_MAX:,} rows"
            problems.append(Problem(field="", problem="is too long", fix=fix, source=path))
            break
        try:
            found.append(_measured(row, question))
        except (ValueError, IrongridError) as error:
            fix = "mend the row, or take it out"
            problem = str(error).rstrip(".")
            problems.append(Problem(field="", problem=problem, fix=fix, source=path, line=number))
    if not found and not problems:
        problems.append(
            Problem(field="", problem="has no rows", fix="add a measured step", source=path)
        )
    if problems:
        raise SpecError(problems[:100])
    return points_of(found)


def _measured(row: Mapping[str, str | None], question: Question) -> Measured:
    values = {name.strip(): (value or "").strip() for name, value in row.items() if name}
    counts = {name: _count(values, name, usual) for name, usual in COUNTS.items()}
    words = {name: _word(values, name) for name in WORDS}
    step_time_s = _seconds(values.get("step_time_s", ""))
    split = counts["tp"] * counts["pp"] * counts["cp"]
    dp, rest = divmod(counts["gpus"], split)
    if rest or dp < 1:
        raise ValueError(f"tp x pp x cp = {split} does not divide gpus={counts['gpus']}")
    passes, rest = divmod(counts["gbs"], dp * counts["mbs"])
    if rest or passes < 1:
        raise ValueError(f"dp x mbs = {dp * counts['mbs']} does not divide gbs={counts['gbs']}")
    asked = question.training
    training = Training(
        global_batch=counts["gbs"],
        seq_len=counts["seq"],
        precision=words["precision"] or asked.precision,
        optimizer=asked.optimizer,
        lora_rank=asked.lora_rank,
        runtime=asked.runtime,
    )
    plan = ParallelPlan(
        world_size=counts["gpus"],
        dp_replicate=1,
        dp_shard=dp,
        micro_batch=counts["mbs"],
        grad_accum=passes,
        precision=training.precision,
        pp=counts["pp"],
        cp=counts["cp"],
        tp=counts["tp"],
        ep=counts["ep"],
        schedule=words["schedule"] or ("interleaved" if counts["vp"] > 1 else "1f1b"),
        virtual_stages=counts["vp"],
        zero=words["zero"],
        recompute=words["recompute"],
    )
    named = values.get("model", "")
    shape = model(named) if named else question.model
    return Measured(shape, training, _pool(values.get("gpu", ""), question), plan, step_time_s)


def _count(values: Mapping[str, str], name: str, usual: int | None) -> int:
    text = values.get(name, "")
    if not text and usual is not None:
        return usual
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= COUNT_MAX:
        raise ValueError(f"{name} is {text[:20]!r}, not a whole number from 1 to {COUNT_MAX:,}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found > 0):
        raise ValueError(f"step_time_s is {text[:20]!r}, not a number of seconds above 0")
    return found


def _word(values: Mapping[str, str], name: str) -> str:
    known, usual = WORDS[name]
    text = values.get(name, "").lower() or usual
    if text and text not in known:
        raise ValueError(f"{name} is {text[:20]!r}, not one of {', '.join(known)}")
    return text


def _pool(gpu: str, question: Question) -> Pool:
    """The fleet's pool with this device; the first one where a row names none."""
    pools = question.pools
    if not gpu:
        return pools[0]
    for pool in pools:
        if gpu == pool.accelerator.name or catalog_name(gpu) == pool.accelerator.name:
            return pool
    have = ", ".join(pool.accelerator.name for pool in pools)
    raise ValueError(f"the fleet has no {gpu[:40]}, only {have}")


def points_of(measured: Sequence[Measured]) -> Points:
    """Measured steps as the columns that the formulas read."""
    return Points(
        work=Work(**_stacked(Work, [work_of(row.shape, row.training) for row in measured])),
        machine=Machine(
            **_stacked(Machine, [machine_of(row.pool, row.training) for row in measured])
        ),
        layout=Layout(**_stacked(Layout, [layout_of([row.plan]) for row in measured])),
        step_time_s=np.array([row.step_time_s for row in measured]),
        weight=np.ones(len(measured)),
    )


def _stacked(columns: type, rows: Sequence[Any]) -> dict[str, Any]:
    """One array for each field; the type of a field is that of its values."""
    return {
        field.name: np.array([np.ravel(getattr(row, field.name))[0] for row in rows])
        for field in fields(columns)
    }
