"""Random reduced spaces in which every candidate is priced, to hold the search against."""

import random
from dataclasses import fields, replace

import numpy as np

from irongrid.cost.coefficients import Coefficients
from irongrid.planner.knobs import AXES
from irongrid.planner.one_pool import PoolSearch, pool_search
from irongrid.planner.question import Goal, Question
from irongrid.planner.space import Space, families
from irongrid.planner.table import rows, take

# Pricing all of more candidates than these takes long; a larger draw is thrown again.
CANDIDATES_MAX = 100_000
DEVICES = (8, 16, 64, 128, 256, 512, 1024)


def reduced(question: Question, dice: random.Random) -> Question:
    """The question with a random part of its space, on a random count of devices."""
    whole = question.space
    assert whole is not None, "the benchmark's question has a space"
    parts = {}
    for item in fields(Space):
        values = list(getattr(whole, item.name))
        if len(values) > 1:
            some = dice.sample(values, dice.randint(1, min(len(values), 4)))
            parts[item.name] = tuple(sorted(some, key=values.index))
    # Each goal has bounds of its own, so each is drawn.
    goals = (Goal(time=1), Goal(cost=1), Goal(energy=1), Goal(time=0.5, energy=0.5))
    return replace(
        question,
        devices=dice.choice([n for n in DEVICES if n <= question.pools[0].devices]),
        space=replace(whole, **parts),
        goal=dice.choice(goals),
    )


def by_brute_force(one: PoolSearch, devices: int) -> tuple[int, float | None]:
    """How many candidates there are, and the best score of those that fit."""
    q = one.question
    table = families(q.model, q.training, (devices,), one.space, q.ability)
    knobs = one.knobs
    if rows(table) and int(knobs.count(table).sum()) > CANDIDATES_MAX:
        return -1, None
    for axis in AXES:
        table = knobs.expanded(table, axis)
    count = rows(table)
    table = take(table, one.pricer.fits(table, one.pricer.memory(table)))
    if not rows(table):
        return count, None
    return count, float(np.min(one.pricer.score(table, one.pricer.time(table))))


def agreements(
    question: Question, coefficients: Coefficients, spaces: int, seed: int
) -> tuple[int, int, int]:
    """Spaces on which search and brute force agree, spaces with a plan, candidates priced."""
    dice = random.Random(seed)
    same = with_plan = candidates = done = 0
    while done < spaces:
        asked = reduced(question, dice)
        devices = asked.devices or 1
        one = pool_search(asked, asked.pools[0], coefficients, devices)
        count, best = by_brute_force(one, devices)
        if count < 1:
            continue
        found = one.best((devices,), 1).score
        same += (
            (not len(found))
            if best is None
            else bool(len(found)) and (abs(float(found[0]) - best) < 1e-9)
        )
        with_plan += best is not None
        candidates += count
        done += 1
    return same, with_plan, candidates
