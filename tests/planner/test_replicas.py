"""Replicas of one plan in two pools: whole shares of the batch, by the speed of the devices."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.planner.world import A100, GIB, GPT3, H100, MIXTURE, SMALL, coefficients, fleet, pool

from irongrid.domain.codec import from_json, to_json
from irongrid.domain.fleet import Accelerator, Pool
from irongrid.domain.model import ModelShape
from irongrid.domain.plan import ParallelPlan, Replicas
from irongrid.domain.training import Training
from irongrid.errors import Refused, SpecError
from irongrid.planner.answer import PricedPlan
from irongrid.planner.exports import export
from irongrid.planner.matrix import communication_matrix
from irongrid.planner.question import Question
from irongrid.planner.rank_map import rank_map
from irongrid.planner.replicas import over_replicas, whole_shares
from irongrid.planner.search import search

COEFFICIENTS = coefficients()
NEW, OLD = pool(64, H100, name="new"), pool(128, A100, name="old")
HALF = replace(
    A100,
    name="half-an-a100",
    flops_per_s={name: rate / 2 for name, rate in A100.flops_per_s.items()},
    memory_bytes_per_s=A100.memory_bytes_per_s / 2,
    link_bytes_per_s=A100.link_bytes_per_s / 2,
)


def ask(*pools: Pool, model: ModelShape = SMALL, batch: int = 1024, **more: Any) -> Question:
    training = Training(global_batch=batch, seq_len=2048, runtime=more.pop("runtime", "any"))
    return Question(model=model, training=training, fleet=fleet(*(pools or (NEW, OLD))), **more)


@cache
def usual(model: ModelShape) -> tuple[PricedPlan, ...]:
    return over_replicas(ask(model=model, batch=256), COEFFICIENTS)


def shares(priced: PricedPlan) -> dict[str, Replicas]:
    return {part.pool: part for part in priced.plan.replicas}


@given(
    batch=st.integers(1, 4096),
    one=st.integers(1, 96),
    other=st.integers(1, 96),
    balance=st.floats(0.0, 4096.0),
)
def test_shares_are_whole_and_add_up_to_the_batch(
    batch: int, one: int, other: int, balance: float
) -> None:
    for x, y in whole_shares(batch, one, other, balance):
        assert x >= 1
        assert y >= 1
        assert one * x + other * y == batch


def test_the_whole_share_next_to_the_balance_is_tried() -> None:
    # 3 x + 5 y = 64: x is 3, 8, 13 or 18.
    assert (13, 5) in whole_shares(64, 3, 5, balance=12.0)
    assert (8, 8) in whole_shares(64, 3, 5, balance=10.0)
    # Even numbers never make an odd one.
    assert list(whole_shares(63, 4, 6, balance=5.0)) == []


@pytest.mark.parametrize("model", [SMALL, GPT3, MIXTURE], ids=["small", "gpt3", "mixture"])
def test_every_offer_is_exact_and_fits(model: ModelShape) -> None:
    assert usual(model)
    rooms = {"new": NEW, "old": OLD}
    for priced in usual(model):
        plan = priced.plan
        width = plan.pp * plan.tp * plan.cp
        assert plan.global_batch == 256
        assert plan.world_size == plan.dp * width == priced.devices
        for part in plan.replicas:
            assert part.count * width <= rooms[part.pool].devices
        for stage in priced.stage_memory:
            room = rooms[stage.pool].accelerator.memory_bytes
            assert stage.peak_memory_bytes_p95 <= room
        assert len(priced.stage_memory) == 2 * plan.pp
        assert sum(priced.parts_s.values()) == pytest.approx(priced.step_time_s)


def test_two_pools_of_equal_devices_share_equally_and_are_about_one_pool_of_the_sum() -> None:
    one, other = pool(64, A100, name="one"), pool(64, A100, name="other")
    best = over_replicas(ask(one, other), COEFFICIENTS)[0]
    whole = search(ask(pool(128, A100)), COEFFICIENTS, explain=False).best

    first, second = best.plan.replicas
    assert (first.count, first.samples) == (second.count, second.samples)
    assert best.step_time_s == pytest.approx(whole.step_time_s, rel=0.05)


def test_a_pool_half_as_fast_takes_about_half_the_samples() -> None:
    fast, slow = pool(64, A100, name="fast"), pool(64, HALF, name="slow")
    best = over_replicas(ask(fast, slow, model=GPT3, batch=256), COEFFICIENTS)[0]
    of = shares(best)
    alone = {
        one.name: search(ask(one, model=GPT3, batch=256), COEFFICIENTS, explain=False).best
        for one in (fast, slow)
    }

    assert of["fast"].count == of["slow"].count
    share = of["slow"].samples / of["fast"].samples
    assert 0.4 < share < 0.65
    assert share == pytest.approx(alone["fast"].step_time_s / alone["slow"].step_time_s, rel=0.1)


def test_faster_devices_take_more_samples_and_none_waits_long() -> None:
    best = usual(GPT3)[0]
    of = shares(best)

    assert of["new"].samples > of["old"].samples
    # Each takes at least nine tenths of the step: what both could do at most is nearly done.
    alone = [
        search(ask(one, model=GPT3, batch=256), COEFFICIENTS, explain=False).best
        for one in (NEW, OLD)
    ]
    ideal_s = 1 / sum(1 / one.step_time_s for one in alone)
    assert ideal_s < best.step_time_s < 1.15 * ideal_s


@pytest.mark.parametrize("batch", [8, 64])
def test_what_is_offered_is_never_slower_than_the_faster_pool_alone(batch: int) -> None:
    pools = pool(16, H100, name="new"), pool(32, A100, name="old")
    both = search(ask(*pools, batch=batch), COEFFICIENTS, explain=False).best
    alone = [search(ask(one, batch=batch), COEFFICIENTS, explain=False).best for one in pools]

    assert both.step_time_s <= min(one.step_time_s for one in alone)


def test_the_best_of_one_pool_a_pipeline_and_replicas_is_the_answer() -> None:
    best = search(ask(model=GPT3, batch=256), COEFFICIENTS).best

    assert best.plan == usual(GPT3)[0].plan
    assert "gradients are averaged by samples" in best.why[0]


@pytest.mark.parametrize(
    ("pools", "more"),
    [
        ((NEW, OLD), {"runtime": "megatron"}),
        ((NEW, OLD), {"pool": "new"}),
        ((NEW, pool(128, A100, name="far", site="elsewhere")), {}),
        ((NEW, OLD), {"pins": {"micro_batch": 2}}),
        ((NEW, OLD), {"batch": 1}),
    ],
    ids=["runtime", "one pool asked for", "two sites", "one micro-batch for all", "one sample"],
)
def test_no_replicas_where_they_cannot_run_or_were_not_asked_for(
    pools: tuple[Pool, ...], more: dict[str, Any]
) -> None:
    assert over_replicas(ask(*pools, **more), COEFFICIENTS) == ()


def test_a_count_of_devices_and_pins_are_kept_to() -> None:
    pins = {"tp": 2, "pp": 2, "zero": "1", "recompute": "full", "schedule": "zb-1p"}
    asked = ask(devices=96, pins=pins)
    plans = over_replicas(asked, COEFFICIENTS)

    assert plans
    assert {plan.devices for plan in plans} == {96}
    for name, value in pins.items():
        assert {getattr(plan.plan, name) for plan in plans} == {value}


def test_no_known_runtime_gives_replicas_shares_of_their_own() -> None:
    unequal = usual(GPT3)[0].plan

    assert len({part.samples for part in unequal.replicas}) == 2
    assert unequal.runnable_by == ()
    training = Training(global_batch=256, seq_len=2048, runtime="megatron")
    with pytest.raises(Refused, match="replicas that take unequal shares of the batch"):
        export("megatron", unequal, GPT3, training, NEW)


def test_ranks_lie_in_their_own_pool_and_no_device_has_two() -> None:
    plan = usual(GPT3)[0].plan
    first, second = ({"new": NEW, "old": OLD}[part.pool] for part in plan.replicas)

    ranks = rank_map(plan, first, beside=(second,))

    assert len(np.unique(ranks.device_of)) == plan.world_size
    assert len(np.unique(ranks.coordinates, axis=0)) == plan.world_size
    # Data-parallel ranks come between stages and tensor ranks.
    copy = np.arange(plan.world_size) // (plan.tp * plan.cp) % plan.dp
    in_first = copy < plan.replicas[0].count
    assert (ranks.coordinates[in_first, 0] < first.nodes).all()
    assert (ranks.coordinates[~in_first, 0] >= first.nodes).all()


def test_replicas_with_fewer_samples_send_less_within_and_as_much_between() -> None:
    plan = ParallelPlan(
        world_size=4, dp_replicate=2, dp_shard=1, tp=2, micro_batch=2, grad_accum=4, zero="none",
        replicas=(
            Replicas(pool="new", count=1, micro_batch=2, grad_accum=4),
            Replicas(pool="old", count=1, micro_batch=1, grad_accum=4),
        ),
    )  # fmt: skip
    training = Training(global_batch=12, seq_len=2048)
    matrix = communication_matrix(plan, SMALL, training, pool(8, name="new"))
    senders, receivers, sent = matrix.pairs()
    amount = {
        (int(sender), int(receiver)): float(size)
        for sender, receiver, size in zip(senders, receivers, sent, strict=True)
    }

    assert amount[2, 3] == amount[0, 1] / 2
    assert amount[2, 0] == amount[0, 2]
    between = next(flow for flow in matrix.flows if flow.collective == "all-reduce")
    assert between.level == "site"


def test_a_plan_with_replicas_survives_json() -> None:
    plan = usual(SMALL)[0].plan

    assert from_json(ParallelPlan, to_json(plan)) == plan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dp_replicate": 3, "world_size": 3}, "hold 2 data-parallel ranks, the plan has 3"),
        ({"micro_batch": 4}, "the first pool takes 2 x 1 samples, the plan says 4 x 1"),
        ({"stage_pools": ("new",)}, "stages have pools of their own"),
    ],
)
def test_replicas_that_contradict_their_plan_are_refused(change: dict[str, Any], said: str) -> None:
    one = Replicas(pool="new", count=1, micro_batch=2, grad_accum=1)
    plan = ParallelPlan(
        world_size=2, dp_replicate=2, dp_shard=1, micro_batch=2, grad_accum=1,
        replicas=(one, replace(one, pool="old", micro_batch=1)),
    )  # fmt: skip
    assert plan.global_batch == 3

    with pytest.raises(SpecError, match=said):
        replace(plan, **change)


def test_a_small_device_takes_smaller_micro_batches() -> None:
    def sizes(old: Accelerator) -> tuple[int, ...]:
        plans = over_replicas(
            ask(NEW, pool(64, old, name="old"), pins={"pp": 1, "tp": 1, "recompute": "none"}),
            COEFFICIENTS,
        )
        return tuple(shares(plan)["old"].micro_batch for plan in plans)

    assert max(sizes(replace(A100, memory_bytes=20 * GIB))) < max(sizes(A100))
