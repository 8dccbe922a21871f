"""Measured steps in, coefficients that explain them out.

Least squares on the logarithm of step time, with a prior on every coefficient, by Levenberg and
Marquardt's method; derivatives by finite differences, as the formulas are cheap by columns. A
table's words share a base: what was not measured follows those that were.
Sources: Marquardt, SIAM J. Appl. Math. 11(2), 1963; Cauchy's weights against odd rows, as in
Holland and Welsch, Commun. Stat. A6(9), 1977.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from irongrid.cost.coefficients import TABLES, VOCABULARIES, Coefficients
from irongrid.cost.columns import Layout, Machine, Work
from irongrid.cost.devices import device_of
from irongrid.cost.residual import Residual, features_of, likeness
from irongrid.cost.step import formula_time

Vector = NDArray[np.float64]
# Standard deviation of a measured step time around a right prediction, in log units.
_NOISE = 0.05
# Errors of so many of these are odd rather than large.
_ODD = 2.5
_STEP = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Measured steps.

    Attributes:
        weight: of each point in the fit; 1 is usual.
    """

    work: Work
    machine: Machine
    layout: Layout
    step_time_s: Vector
    weight: Vector


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number of the fit, as a logarithm.

    Attributes:
        word: index in the table's vocabulary, whose value is relative to the base; None is the
            base of a table, or a coefficient that is no table.
        centre, sigma: its prior, in log units.
    """

    name: str
    word: int | None
    centre: float
    sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a fit found.

    Attributes:
        vector, sigma: of each parameter, in log units: its value, and how well it is known.
    """

    coefficients: Coefficients
    parameters: tuple[Parameter, ...]
    vector: Vector
    sigma: Vector


def parameters_of(prior: Mapping[str, Mapping[str, tuple[float, float]]]) -> tuple[Parameter, ...]:
    """The parameters of a fit.

    Args:
        prior: for each coefficient its centre and relative sigma under `*`, and for a table's
            words the centre and sigma of the ratio to the base.
    """
    found: list[Parameter] = []
    for name, entries in prior.items():
        centre, sigma = entries["*"]
        found.append(Parameter(name, None, float(np.log(centre)), sigma))
        if name in TABLES:
            usual = entries.get("each", (1.0, 0.1))
            for index, word in enumerate(VOCABULARIES[TABLES[name]]):
                ratio, width = entries.get(word, usual)
                found.append(Parameter(name, index, float(np.log(ratio)), width))
    return tuple(found)


def coefficients_at(
    parameters: Sequence[Parameter], vector: Vector, like: Coefficients
) -> Coefficients:
    """The coefficients that a vector of logarithms means."""
    base: dict[str, float] = {}
    tables: dict[str, Vector] = {}
    for parameter, value in zip(parameters, vector, strict=True):
        if parameter.word is None:
            base[parameter.name] = float(value)
            if parameter.name in TABLES:
                tables[parameter.name] = np.zeros(len(VOCABULARIES[TABLES[parameter.name]]))
        else:
            tables[parameter.name][parameter.word] = value
    values: dict[str, float | Vector] = {
        name: np.exp(value + tables[name]) if name in tables else float(np.exp(value))
        for name, value in base.items()
    }
    return replace(like, **values)  # type: ignore[arg-type]


def fit(
    points: Points,
    parameters: Sequence[Parameter],
    start: Vector,
    like: Coefficients,
    rounds: int = 12,
) -> Fit:
    """The most likely coefficients for the points and the prior."""
    target = np.log(points.step_time_s)
    centre = np.array([p.centre for p in parameters])
    sigma = np.array([p.sigma for p in parameters])
    words = _words_of(points)

    def predict(vector: Vector) -> Vector:
        c = coefficients_at(parameters, vector, like)
        return np.log(formula_time(points.work, points.machine, points.layout, c)[1])

    vector, damping, now = start, 1e-2, predict(start)
    cost = _cost(now - target, points.weight, (vector - centre) / sigma)
    hessian = np.diag(sigma**-2)
    for _ in range(rounds):
        slopes = _slopes(predict, parameters, words, vector, now)
        weight = _trust(now - target) * points.weight / _NOISE**2
        hessian = (slopes * weight[:, None]).T @ slopes + np.diag(sigma**-2)
        pull = slopes.T @ (weight * (target - now)) - (vector - centre) / sigma**2
        gained = 0.0
        for _ in range(6):
            move = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), pull)
            there = vector + np.clip(move, -0.7, 0.7)
            then = predict(there)
            after = _cost(then - target, points.weight, (there - centre) / sigma)
            if after < cost:
                gained, vector, now, cost = cost - after, there, then, after
                damping = max(damping / 5, 1e-7)
                break
            damping *= 5
        if gained < 1e-4 * cost:
            break
    spread = np.sqrt(np.diag(np.linalg.inv(hessian)))
    found = coefficients_at(parameters, vector, like)
    return Fit(coefficients=found, parameters=tuple(parameters), vector=vector, sigma=spread)


def _words_of(points: Points) -> dict[str, NDArray[np.int64]]:
    """The word of each vocabulary that each point uses."""
    columns = {
        "generation": points.machine.generation,
        "precision": points.work.precision,
        "behaviour": points.work.runtime,
        "schedule": points.layout.schedule,
        "device": device_of(points.machine),
    }
    size = points.step_time_s.size
    return {
        name: np.broadcast_to(np.asarray(column, np.int64), (size,))
        for name, column in columns.items()
    }


def _trust(error: Vector) -> Vector:
    """Weight of each point by its error: what is far off is an odd row, not a discovery."""
    return np.asarray(1.0 / (1.0 + (error / (_ODD * _NOISE)) ** 2))


def _cost(error: Vector, weight: Vector, prior: Vector) -> float:
    size = error / _NOISE
    loss = _ODD**2 * np.log1p((size / _ODD) ** 2)
    return float(weight @ loss + prior @ prior)


def _slopes(
    predict: Callable[[Vector], Vector],
    parameters: Sequence[Parameter],
    words: Mapping[str, NDArray[np.int64]],
    vector: Vector,
    now: Vector,
) -> Vector:
    """Derivatives of the predictions by each parameter.

    A point uses one word of a table, so a table takes one call: the derivative by its base is, for
    each point, that by the point's own word.
    """
    slopes = np.zeros((now.size, vector.size))
    slope = now
    for index, parameter in enumerate(parameters):
        if parameter.word is None:
            moved = vector.copy()
            moved[index] += _STEP
            slope = (predict(moved) - now) / _STEP
            slopes[:, index] = slope
        else:
            used = words[TABLES[parameter.name]] == parameter.word
            slopes[:, index] = np.where(used, slope, 0.0)
    return slopes


def with_residual(points: Points, c: Coefficients, amplitude: float, noise: float) -> Coefficients:
    """The coefficients with what the formulas leave unexplained at these points.

    Args:
        amplitude: standard deviation of the correction, in log units.
        noise: of one measured row around it.
    """
    _, time = formula_time(points.work, points.machine, points.layout, c)
    features = features_of(points.work, points.machine, points.layout, time)
    error = np.log(points.step_time_s) - np.log(time)
    alike = likeness(features, features)
    alike[np.diag_indices_from(alike)] += (noise / amplitude) ** 2
    return replace(c, residual=Residual(points=features, pull=np.linalg.solve(alike, error)))
