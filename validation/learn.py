"""Learn coefficients from rows: the formulas' fit, then the residual near the rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from validation.priors import PRIOR
from validation.rows import Row, inputs_of, resolve

from irongrid.cost.coefficients import TABLES, VOCABULARIES, Coefficients
from irongrid.cost.recalibrate import (
    Points,
    coefficients_at,
    fit,
    parameters_of,
    with_residual,
)
from irongrid.cost.residual import features_of
from irongrid.cost.spread import Spread
from irongrid.cost.step import formula_time, step_time

PARAMETERS = parameters_of(PRIOR)
CENTRE = np.array([parameter.centre for parameter in PARAMETERS])
# The residual's standard deviation and a row's noise around it, in log units.
AMPLITUDE, NOISE = 0.12, 0.08
# Rows of a source beyond this many share their weight, so that a large sweep is one voice of many.
_VOICES = 40
# Weight of a row whose precision is not stated.
_VAGUE = 0.1


def _before_any_row() -> Coefficients:
    """The centres of the prior."""
    flat = {
        name: np.ones(len(VOCABULARIES[TABLES[name]])) if name in TABLES else 1.0 for name in PRIOR
    }
    return coefficients_at(PARAMETERS, CENTRE, Coefficients(**flat))  # type: ignore[arg-type]


BEFORE = _before_any_row()


@dataclass(frozen=True, eq=False)
class Learnt:
    """Coefficients with the vector that they came from, where the next fit may start."""

    coefficients: Coefficients
    vector: NDArray[np.float64]


def usable(rows: Sequence[Row]) -> list[Row]:
    """Rows that enter a fit: measured in full, on devices of one kind."""
    return [row for row in rows if row.counts and "+" not in row.gpu and row.has_layout]


def points_of(rows: Sequence[Row]) -> Points:
    """Rows as the points of a fit."""
    count = Counter(row.source for row in rows)
    weight = [min(1.0, (_VOICES / count[row.source]) ** 0.8) for row in rows]
    weight = [
        w * (_VAGUE if any("precision" in told for told in row.assumed) else 1.0)
        for w, row in zip(weight, rows, strict=True)
    ]
    work, machine, layout = inputs_of([row.values for row in rows])
    return Points(
        work=work,
        machine=machine,
        layout=layout,
        step_time_s=np.array([row.step_time_s for row in rows], dtype=float),
        weight=np.array(weight),
    )


def learn(
    rows: Sequence[Row],
    start: Learnt | None = None,
    *,
    rounds: int = 12,
    spread: Spread | None = None,
) -> Learnt:
    """Coefficients from rows.

    Args:
        start: where the search for the optimum begins; the optimum does not depend on it.
    """
    like = start.coefficients if start is not None else BEFORE
    resolved = resolve(rows, like)
    points = points_of(resolved)
    vector = start.vector if start is not None else CENTRE
    found = fit(points, PARAMETERS, vector, BEFORE, rounds)
    learnt = with_residual(points, found.coefficients, AMPLITUDE, NOISE)
    if spread is not None:
        learnt = replace(learnt, spread=spread)
    return Learnt(learnt, found.vector)


def document_of(learnt: Learnt) -> dict[str, Any]:
    """The JSON form of what was learnt: a table's base under `*`, and its words."""
    document = learnt.coefficients.to_json()
    for parameter, value in zip(PARAMETERS, learnt.vector, strict=True):
        if parameter.word is None and parameter.name in TABLES:
            document[parameter.name] = {"*": float(np.exp(value)), **document[parameter.name]}
    return document


def learnt_from(document: Mapping[str, Any]) -> Learnt:
    """What was learnt, from its JSON form."""
    values: list[float] = []
    for parameter in PARAMETERS:
        entry = document[parameter.name]
        if parameter.word is None:
            base = float(np.log(entry["*"] if parameter.name in TABLES else entry))
            values.append(base)
        else:
            word = VOCABULARIES[TABLES[parameter.name]][parameter.word]
            values.append(float(np.log(entry[word])) - base)
    return Learnt(Coefficients.from_json(document), np.array(values))


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions of rows, in their order."""

    step_time_s: NDArray[np.float64]
    step_time_s_p90: NDArray[np.float64]
    novelty: NDArray[np.float64]


def predict(rows: Sequence[Row], c: Coefficients) -> Prediction:
    """Step time of rows, choices made by the prediction itself."""
    inputs = inputs_of([row.values for row in resolve(rows, c)])
    time = step_time(*inputs, c)
    novelty = c.residual.at(features_of(*inputs, formula_time(*inputs, c)[1]))[1]
    return Prediction(time.p50_s, time.p90_s, novelty)
