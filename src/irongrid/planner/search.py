"""The planner's answer to a question: the best plans of each pool that may be used."""

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Pool
from irongrid.errors import SpecError
from irongrid.planner.answer import Answer, Effort, Misfit, PricedPlan
from irongrid.planner.explore import Found
from irongrid.planner.misfit import misfit
from irongrid.planner.mixed import over_two_pools
from irongrid.planner.one_pool import POINTS_MAX, PoolSearch, added, curve_sizes, pool_search
from irongrid.planner.question import Question, check, goal_of
from irongrid.planner.replicas import over_replicas
from irongrid.planner.sites import across_sites
from irongrid.planner.why import explained

# Counts of devices that are tried at once where a pool's whole count cannot be used.
_COUNTS = 4
_TRIES = 2


def search(question: Question, coefficients: Coefficients, *, explain: bool = True) -> Answer:
    """The best plans, or why there are none.

    With a count of devices, plans for exactly that many. Without, plans for all devices of a pool;
    for fewer where that many cannot be used, or where fewer serve the goal better.

    Args:
        explain: say why, which takes a few searches more.

    Raises:
        SpecError: the question itself is wrong.
        Refused: the fleet lacks the price or carbon intensity that the goal needs.
    """
    check(question)
    plans: list[PricedPlan] = []
    effort = Effort()
    searches = pool_searches(question, coefficients)
    for one in searches:
        found, spent = _of_pool(question, one)
        plans += found
        effort = added(effort, spent)
    plans += over_several_pools(question, coefficients)
    plans.sort(key=lambda plan: plan.score)
    kept = tuple(plans[: question.keep])
    return Answer(
        plans=explained(kept, question, coefficients) if explain else kept,
        effort=effort,
        misfit=None if plans else _nearest_misfit(question, searches, coefficients),
    )


def over_several_pools(question: Question, coefficients: Coefficients) -> tuple[PricedPlan, ...]:
    """Pipelines and replicas over two pools of a site, and replicas at several sites."""
    return (
        *over_two_pools(question, coefficients),
        *over_replicas(question, coefficients),
        *across_sites(question, coefficients),
    )


def pool_searches(question: Question, coefficients: Coefficients) -> tuple[PoolSearch, ...]:
    """The search of each usable pool that goes with what is pinned.

    Raises:
        SpecError: what is pinned goes with no pool.
        Refused: a pool lacks the price or carbon intensity that the goal needs.
    """
    searches, refused = [], []
    for pool in usable(question):
        devices = question.devices or pool.devices
        try:
            searches.append(pool_search(question, pool, coefficients, devices))
        except SpecError as error:
            refused.append(error)
    if refused and not searches:
        raise refused[0]
    return tuple(searches)


def usable(question: Question) -> tuple[Pool, ...]:
    """The pools that have enough devices and compute in the training's precision."""
    least = question.devices or 1
    return tuple(
        pool
        for pool in question.pools
        if pool.devices >= least and question.training.precision in pool.accelerator.flops_per_s
    )


def _nearest_misfit(
    question: Question, searches: tuple[PoolSearch, ...], coefficients: Coefficients
) -> Misfit:
    """The misfit of the pool that lacks least."""
    pools = tuple(one.pool for one in searches) or question.pools
    found = [misfit(question, pool, coefficients) for pool in pools]
    return min(found, key=lambda one: (one.code != "memory", one.missing_bytes))


def _of_pool(question: Question, one: PoolSearch) -> tuple[tuple[PricedPlan, ...], Effort]:
    most = question.devices or one.pool.devices
    sizes = curve_sizes(one.pool, POINTS_MAX)
    weights = goal_of(question.goal).weights
    if question.devices is None and set(weights) != {"time"}:
        found = one.best_count(sizes, question.keep)
        return one.plans(found), found.effort
    found = one.best((most,), question.keep)
    effort = found.effort
    if question.devices is None and not len(found.score):
        found, spent = _on_fewer(question, one, sizes[:-1])
        effort = added(effort, spent)
    return one.plans(found), effort


def _on_fewer(question: Question, one: PoolSearch, sizes: tuple[int, ...]) -> tuple[Found, Effort]:
    """The best plans on the largest counts that can be used, as more devices are faster."""
    effort, found = Effort(), Found(table={}, score=np.zeros(0), effort=Effort())
    # Fewer devices hold less, so what does not fit twice as many will not fit them.
    full = 0
    while sizes and not len(found.score) and full < _TRIES:
        found = one.best(sizes[-_COUNTS:], question.keep, together=True)
        effort, sizes = added(effort, found.effort), sizes[:-_COUNTS]
        full += bool(found.effort.candidates)
    return found, effort
