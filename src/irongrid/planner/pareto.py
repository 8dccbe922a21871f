"""Plans that no other beats in time, money, energy and carbon at once."""

from dataclasses import replace

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.planner.answer import PricedPlan
from irongrid.planner.mixed import over_two_pools
from irongrid.planner.one_pool import POINTS_MAX, curve_sizes
from irongrid.planner.question import Question, check
from irongrid.planner.replicas import over_replicas
from irongrid.planner.search import pool_searches
from irongrid.planner.sites import across_sites, counts_over_sites

# Plans of one count of devices that compete with each other: with a fixed count the knobs alone
# trade time for energy.
_OF_ONE_COUNT = 8


def pareto_front(question: Question, coefficients: Coefficients) -> tuple[PricedPlan, ...]:
    """The front over all pools, sites and counts of devices, fastest first.

    On one count of one pool money follows time, and carbon follows energy, so the best for time and
    for energy of each count are all that can be on the front, up to ties. Of plans over several
    pools, which take all devices, the fastest are compared.

    Raises:
        SpecError: the question itself is wrong.
    """
    check(question)
    plans: list[PricedPlan] = []
    keep = _OF_ONE_COUNT if question.devices else 1
    for goal in ("time", "energy"):
        for one in pool_searches(replace(question, goal=goal), coefficients):
            sizes = (question.devices,) if question.devices else curve_sizes(one.pool, POINTS_MAX)
            plans += one.plans(one.best(sizes, keep))
        counts = (question.devices,) if question.devices else counts_over_sites(question)
        for count in counts:
            asked = replace(question, goal=goal, devices=count, keep=keep)
            plans += across_sites(asked, coefficients).plans
    asked = replace(question, goal="time")
    plans += over_two_pools(asked, coefficients) + over_replicas(asked, coefficients)
    return front(plans)


def front(plans: list[PricedPlan]) -> tuple[PricedPlan, ...]:
    """Those of the plans that none of the others beats in every figure that all of them have."""
    if not plans:
        return ()
    figures = np.array([_figures(plan) for plan in plans])
    known = np.isfinite(figures).all(axis=0)
    figures = figures[:, known]
    kept: list[int] = []
    for row in np.lexsort((figures.sum(axis=1), figures[:, 0])):
        others = figures[kept]
        # Equal figures count as beaten, so that one of several alike is kept.
        if not len(kept) or not (others <= figures[row] * (1 + 1e-12)).all(axis=1).any():
            kept.append(int(row))
    return tuple(plans[row] for row in kept)


def _figures(plan: PricedPlan) -> tuple[float, float, float, float]:
    unknown = float("inf")
    usd = unknown if plan.usd_per_step is None else plan.usd_per_step
    carbon = unknown if plan.co2_g_per_step is None else plan.co2_g_per_step
    return plan.step_time_s, usd, plan.energy_j_per_step, carbon
