"""The planner's answer to a question: the best plans of each pool that may be used."""

from dataclasses import replace

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Pool
from irongrid.errors import SpecError
from irongrid.planner.answer import Answer, Effort, Misfit, PricedPlan
from irongrid.planner.misfit import misfit
from irongrid.planner.mixed import over_two_pools
from irongrid.planner.one_pool import PoolSearch, added, pool_search
from irongrid.planner.question import Question, check
from irongrid.planner.replicas import over_replicas
from irongrid.planner.sites import across_sites
from irongrid.planner.why import explained


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
        found = one.found(one.pool)
        plans += one.plans(found)
        effort = added(effort, found.effort)
    plans += over_two_pools(question, coefficients)
    plans += over_replicas(question, coefficients)
    spread = across_sites(question, coefficients)
    plans += spread.plans
    plans.sort(key=lambda plan: plan.score)
    kept = tuple(plans[: question.keep])
    answer = Answer(plans=kept, effort=added(effort, spread.effort))
    if not kept:
        return replace(answer, misfit=_misfit(question, searches, spread.obstacle, coefficients))
    return replace(answer, plans=explained(kept, question, coefficients)) if explain else answer


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


def _misfit(
    question: Question,
    searches: tuple[PoolSearch, ...],
    obstacle: Misfit | None,
    coefficients: Coefficients,
) -> Misfit:
    """The misfit of the pool that lacks least, or what is in the way of sites that are pinned."""
    if obstacle and any(int(question.pins.get(name, 1)) > 1 for name in ("sites", "sync_every")):
        return obstacle
    pools = tuple(one.pool for one in searches) or question.pools
    found = [misfit(question, pool, coefficients) for pool in pools]
    return min(found, key=lambda one: (one.code != "memory", one.missing_bytes))
