import numpy as np
import pytest
from tests.planner.test_search import random_question
from tests.planner.world import coefficients

from irongrid.planner.bounds import Bounds
from irongrid.planner.one_pool import PoolSearch, pinned, pool_search
from irongrid.planner.space import families
from irongrid.planner.table import Floats, Table, rows

COEFFICIENTS = coefficients()
KNOBS = ("recompute", "offload", "sequence_parallel", "compression")
SOME = [seed if seed < 4 else pytest.param(seed, marks=pytest.mark.slow) for seed in range(16)]


def searched(seed: int) -> tuple[PoolSearch, int]:
    asked = random_question(seed)
    return pool_search(asked, asked.fleet.pools[0], COEFFICIENTS, asked.devices or 0), (
        asked.devices or 0
    )


def least_below(one: PoolSearch, table: Table, upto: int) -> tuple[Table, Floats]:
    """Candidates with some knobs open, and the least score of all that complete them."""
    for axis in ("zero", "context", *KNOBS[:upto]):
        table = one.knobs.expanded(table, axis)
    below = table | {"parent": np.arange(rows(table))}
    for axis in KNOBS[upto:]:
        below = one.knobs.expanded(below, axis)
    least = np.full(rows(table), np.inf)
    if rows(below):
        np.minimum.at(least, below["parent"], one.pricer.score(below, one.pricer.time(below)))
    return table, least


@pytest.mark.parametrize("seed", SOME)
@pytest.mark.parametrize("upto", range(len(KNOBS)))
def test_no_candidate_is_better_than_the_bound_of_what_it_completes(seed: int, upto: int) -> None:
    one, devices = searched(seed)
    q = one.question
    table = pinned(families(q.model, q.training, (devices,), one.space, q.ability), q)
    opened, least = least_below(one, table, upto)
    bounds = Bounds(one.pricer, one.space)

    assert (bounds.rough_score(opened) <= least + 1e-9).all()
    assert (bounds.score(opened) <= least + 1e-9).all()
