import random
from dataclasses import replace
from typing import Any

import pytest
from tests.planner.world import (
    A100,
    GPT3,
    H100,
    MIXTURE,
    SMALL,
    cheapest_score,
    coefficients,
    everything,
    pool,
    question,
)

from irongrid.domain.training import Training
from irongrid.planner.one_pool import pool_search
from irongrid.planner.question import Question
from irongrid.planner.search import search
from irongrid.planner.space import Space

COEFFICIENTS = coefficients()


def some(dice: random.Random, values: list[Any], least: int = 1) -> tuple[Any, ...]:
    return tuple(sorted(dice.sample(values, dice.randint(least, len(values))), key=values.index))


def random_space(dice: random.Random) -> Space:
    return Space(
        tp=some(dice, [1, 2, 4, 8, 16]),
        pp=some(dice, [1, 2, 4, 8, 12, 16], 2),
        cp=some(dice, [1, 2, 4]),
        ep=some(dice, [1, 2, 4, 8]),
        micro_batch=some(dice, [1, 2, 4, 8], 2),
        virtual_stages=some(dice, [1, 2, 3, 4]),
        dp_shard=some(dice, [1, 0, 8, 16]),
        schedule=some(dice, ["1f1b", "interleaved", "zb-1p", "zb-2p", "zbv", "dualpipev"]),
        zero=some(dice, ["none", "1", "2", "3", "fsdp"]),
        recompute=some(dice, ["none", "selective", "full"]),
        recompute_share=some(dice, [2, 4, 6, 8]),
        offload=some(dice, ["none", "optimizer", "parameters", "activations"]),
        offload_tier=("host",),
        sequence_parallel=some(dice, [True, False]),
        context=some(dice, ["ring", "ulysses"]),
        compression=some(dice, ["none", "bf16", "int8", "powersgd"]),
    )


def random_question(seed: int) -> Question:
    dice = random.Random(seed)
    model = dice.choice([GPT3, SMALL, MIXTURE])
    devices = dice.choice([8, 16, 64, 256, 1024])
    training = Training(
        global_batch=dice.choice([64, 96, 256, 1536]),
        seq_len=dice.choice([1024, 2048, 8192]),
        runtime="any",
        lora_rank=dice.choice([0, 0, 16]),
    )
    goal = dice.choice(["time", "time", "cost", "energy", {"time": 0.5, "energy": 0.5}])
    return question(
        model,
        training,
        pool(devices, dice.choice([A100, H100]), net=dice.choice([5e9, 25e9, 50e9])),
        devices=devices,
        goal=goal,
        space=random_space(dice),
    )


# Each takes a second or two; the benchmark does fifty more.
@pytest.mark.parametrize(
    "seed", [seed if seed < 6 else pytest.param(seed, marks=pytest.mark.slow) for seed in range(40)]
)
def test_the_search_finds_what_pricing_every_candidate_finds(seed: int) -> None:
    asked = random_question(seed)
    one = pool_search(asked, asked.fleet.pools[0], COEFFICIENTS, asked.devices or 0)
    table = everything(one, (asked.devices or 0,))

    found = one.best((asked.devices or 0,), 1)

    assert found.effort.candidates == len(table["tp"])
    best = cheapest_score(one.pricer, table)
    assert (found.score.min() if len(found.score) else None) == (
        None if best is None else pytest.approx(best, abs=1e-9)
    )


@pytest.mark.parametrize(
    "seed",
    [
        seed if 105 <= seed < 111 else pytest.param(seed, marks=pytest.mark.slow)
        for seed in range(100, 160)
    ],
)
def test_the_best_plan_is_the_same_however_many_are_kept(seed: int) -> None:
    asked = replace(random_question(seed), space=None)
    one, five = (
        search(replace(asked, keep=keep), COEFFICIENTS, explain=False).plans for keep in (1, 5)
    )

    assert [plan.score for plan in one] == [plan.score for plan in five[:1]]
    assert [plan.step_time_s for plan in one] == [plan.step_time_s for plan in five[:1]]
    assert [plan.score for plan in five] == sorted(plan.score for plan in five)
