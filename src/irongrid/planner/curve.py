"""The scaling curve: the best plan's speed on every useful count of every device type."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.codec import to_json
from irongrid.domain.curve import CurvePoint, ScalingCurve
from irongrid.domain.fleet import Pool
from irongrid.domain.plan import ParallelPlan
from irongrid.planner.answer import PricedPlan
from irongrid.planner.one_pool import POINTS_MAX, PoolSearch, curve_sizes
from irongrid.planner.question import Question, check
from irongrid.planner.search import pool_searches
from irongrid.planner.sites import across_sites, counts_over_sites

# Until a job has restarted once: processes, communicators and a checkpoint's load.
RESTART_S = 120.0


def scaling_curve(
    question: Question, coefficients: Coefficients, *, restart_s: float = RESTART_S
) -> ScalingCurve:
    """At most 64 points over all device types; counts on which nothing runs are left out.

    The goal chooses the plan on each count. With `devices` set, counts go up to that many.

    Raises:
        SpecError: the question itself is wrong.
    """
    check(question)
    every = pool_searches(replace(question, devices=None), coefficients)
    searches = _one_of_each_type(every)
    points: list[CurvePoint] = []
    for one in searches:
        pool, most = one.pool, question.devices or one.pool.devices
        sizes = tuple(n for n in curve_sizes(pool, POINTS_MAX // len(searches)) if n <= most)
        site = question.fleet.site(pool.site)
        points += [_point(plan, pool, site.pue) for plan in one.plans(one.best(sizes, 1))]
    points += _over_sites(question, coefficients)
    return ScalingCurve(
        points=tuple(points[:POINTS_MAX]), unit_of_work="tokens", total_work={}, restart_s=restart_s
    )


def _over_sites(question: Question, coefficients: Coefficients) -> Iterator[CurvePoint]:
    """Counts that no site has alone: the best plan of each device type over several."""
    fleet, most = question.fleet, question.devices or question.fleet.devices
    for count in counts_over_sites(question):
        if count > most:
            return
        seen: set[str] = set()
        asked = replace(question, devices=count)
        for plan in across_sites(asked, coefficients).plans:
            pools = [fleet.pool(name) for name in plan.pool.split("+")]
            device = pools[0].accelerator.name
            if device not in seen:
                seen.add(device)
                # All sites draw about the same, as they do the same.
                pue = sum(fleet.site(pool.site).pue for pool in pools) / len(pools)
                yield replace(_point(plan, pools[0], pue), span="any")


def _one_of_each_type(searches: tuple[PoolSearch, ...]) -> tuple[PoolSearch, ...]:
    """That of the largest pool of each device type; a gang does not span two pools."""
    largest: dict[str, PoolSearch] = {}
    for one in searches:
        known = largest.get(one.pool.accelerator.name)
        if known is None or one.pool.devices > known.pool.devices:
            largest[one.pool.accelerator.name] = one
    return tuple(largest.values())[:POINTS_MAX]


def _point(priced: PricedPlan, pool: Pool, pue: float) -> CurvePoint:
    tokens = priced.tokens_per_s * priced.step_time_s
    return CurvePoint(
        device_type=pool.accelerator.name,
        devices=priced.devices,
        nodes=-(-priced.devices // pool.devices_per_node),
        span=span_of(pool, priced.devices),
        work_per_s_p50=priced.tokens_per_s,
        work_per_s_p90=tokens / priced.step_time_s_p90,
        step_time_s=priced.step_time_s,
        memory_bytes=priced.peak_memory_bytes_p95,
        power_watts=priced.energy_j_per_step / priced.step_time_s / pue,
        plan_id=plan_id(priced.plan),
    )


def span_of(pool: Pool, devices: int) -> str:
    """The innermost level of the network that holds so many devices; `any` is all of the pool."""
    for level in pool.levels:
        if level.devices >= devices and level.name != "site":
            return level.name
    return "any"


def plan_id(plan: ParallelPlan) -> str:
    """A short name that equal plans share."""
    text = json.dumps(to_json(plan), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
