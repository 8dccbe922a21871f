"""Fleets, models and batches of absurd size get an answer from little work, or a clear no.

Work is counted, not timed: a family takes some ten microseconds, so half a million take seconds.
"""

from dataclasses import replace
from typing import Any

import pytest
from tests.planner.world import H100, MIXTURE, SMALL, coefficients, pool, question

from irongrid.domain.model import Experts, ModelShape
from irongrid.domain.training import Training
from irongrid.errors import SpecError
from irongrid.planner.answer import Answer
from irongrid.planner.one_pool import curve_sizes, pool_search
from irongrid.planner.question import Question
from irongrid.planner.search import search
from irongrid.planner.space import divisors

COEFFICIENTS = coefficients()
MANY = 2**22
# As many ways to split as any published model has.
WIDE = replace(
    MIXTURE, layers=64, heads=64, kv_heads=64, experts=Experts(count=256, top_k=8, ffn=2048)
)


def ask(model: ModelShape, batch: int, seq_len: int, devices: int, **more: Any) -> Question:
    training = Training(global_batch=batch, seq_len=seq_len, runtime="any")
    return question(model, training, pool(devices, H100), **more)


def answer(model: ModelShape, batch: int, seq_len: int, devices: int, **more: Any) -> Answer:
    return search(ask(model, batch, seq_len, devices, **more), COEFFICIENTS, explain=False)


def test_millions_of_devices_are_planned_from_some_hundred_thousand_families() -> None:
    found = answer(WIDE, 2**22, 4096, MANY)

    assert found.best.devices == MANY
    assert found.effort.families < 500_000


def test_a_goal_that_leaves_the_count_open_finds_the_best_without_looking_at_every_count() -> None:
    asked = ask(SMALL, 2**18, 4096, 2**18, goal="cost")
    one = pool_search(asked, asked.fleet.pools[0], COEFFICIENTS, 2**18)
    sizes = curve_sizes(one.pool, 64)
    some, every = one.best_count(sizes, 1), one.best(sizes, 1, together=True)

    assert some.score[0] == every.score[0]
    assert some.effort.families < every.effort.families / 2


@pytest.mark.parametrize("batch", [1, 10**9])
def test_a_batch_of_one_and_of_a_billion(batch: int) -> None:
    found = answer(SMALL, batch, 2048, 1024)

    assert all(plan.plan.global_batch == batch for plan in found.plans)
    assert found.plans


def test_a_million_layers_are_cut_into_no_more_stages_than_anyone_would_run() -> None:
    deep = replace(SMALL, layers=10**6, hidden=64, ffn=128, heads=2, kv_heads=2)
    found = answer(deep, 2**20, 2048, 2**20)

    assert found.best.plan.pp <= 512
    assert sum(found.best.plan.stage_layers) == 10**6


def test_a_billion_tokens_and_a_billion_devices_are_refused() -> None:
    with pytest.raises(SpecError, match=r"seq_len: is 1000000000. Give a whole number from 1 to"):
        answer(SMALL, 8, 10**9, 8)
    with pytest.raises(SpecError, match=r"has 1,000,000,000 devices. Give from 1 to 16,777,216"):
        answer(SMALL, 8, 2048, 10**9)


def test_divisors_of_a_large_number_come_in_order_without_trying_all_below_it() -> None:
    assert divisors(12, 5) == (1, 2, 3, 4)
    assert divisors(36, 100) == (1, 2, 3, 4, 6, 9, 12, 18, 36)
    # A number of 14 digits: only up to its root is tried.
    assert divisors(2 * 10**13, 10) == (1, 2, 4, 5, 8, 10)
