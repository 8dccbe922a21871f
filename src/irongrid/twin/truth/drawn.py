"""Jobs drawn at random: arrivals, sizes and durations from a few figures and a seed."""

from math import log

import numpy as np

from irongrid.domain.scenario import Generated
from irongrid.twin.fleets import pool
from irongrid.twin.truth.traces import Workload
from irongrid.twin.truth.world import TraceJob

_DAY_H = 24.0
# Of the standard normal distribution: nine tenths lie below.
_Z90 = 1.2815515655446004


def drawn(figures: Generated, seed: int) -> Workload:
    """The jobs of a seed. Equal figures and seeds give equal jobs."""
    # One stream for each question, so that another answer to one leaves the others alone.
    arrivals, sizes, durations, teams = (
        np.random.default_rng([seed, question]) for question in range(4)
    )
    submit_s = _arrivals_s(figures, arrivals)
    names = [name for name, _ in figures.teams]
    team = teams.choice(len(names), figures.jobs, p=_shares([w for _, w in figures.teams]))
    kinds = np.array([devices for devices, _ in figures.sizes])
    gpus = kinds[sizes.choice(len(kinds), figures.jobs, p=_shares([w for _, w in figures.sizes]))]
    spread = (log(figures.p90_s) - log(figures.median_s)) / _Z90
    service_s = np.exp(durations.normal(log(figures.median_s), spread, figures.jobs))
    width = len(str(figures.jobs))
    jobs = tuple(
        TraceJob(
            f"g{number + 1:0{width}}",
            round(float(submit_s[number]), 3),
            names[team[number]],
            int(gpus[number]),
            round(float(service_s[number]), 3),
            team=names[team[number]],
        )
        for number in range(figures.jobs)
    )
    rules = {
        "arrivals": f"Poisson, {figures.per_hour:g} an hour, daily swing {figures.daily_swing:g}",
        "durations": f"log-normal, median {figures.median_s:g} s, p90 {figures.p90_s:g} s",
        "restart_s": {"1": 7, "2-8": 30, "more": 60},
        "first_start_s": 0,
        "seed": seed,
    }
    return Workload(jobs=jobs, history=(), nodes=0, rules=rules, fleet=pool)


def _arrivals_s(figures: Generated, rng: np.random.Generator) -> np.ndarray:
    """Poisson arrivals whose rate follows the day; second 0 is midnight.

    By thinning (Lewis and Shedler, Naval Research Logistics Quarterly 26(3), 1979): candidates at
    the highest rate, each kept with the share that the rate has at its moment.
    """
    swing = figures.daily_swing
    most_per_h = figures.per_hour * (1 + swing)
    kept: list[np.ndarray] = []
    count, now_h = 0, 0.0
    while count < figures.jobs:
        at_h = now_h + np.cumsum(rng.exponential(1 / most_per_h, figures.jobs))
        rate_per_h = figures.per_hour * (1 - swing * np.cos(2 * np.pi * at_h / _DAY_H))
        found = at_h[rng.random(len(at_h)) * most_per_h < rate_per_h]
        kept.append(found)
        count += len(found)
        now_h = float(at_h[-1])
    return np.concatenate(kept)[: figures.jobs] * 3600


def _shares(weights: list[float]) -> np.ndarray:
    values = np.array(weights, dtype=float)
    return np.asarray(values / values.sum())
