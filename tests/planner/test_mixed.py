from typing import Any

import numpy as np
import pytest
from tests.planner.world import A100, GPT3, H100, SMALL, coefficients, fleet, pool

from irongrid.domain.training import Training
from irongrid.planner.mixed import over_two_pools
from irongrid.planner.question import Question
from irongrid.planner.rank_map import rank_map
from irongrid.planner.search import search

COEFFICIENTS = coefficients()
NEW, OLD = pool(64, H100, name="new"), pool(128, A100, name="old")


def ask(*pools: Any, **more: Any) -> Question:
    training = Training(global_batch=256, seq_len=2048, runtime=more.pop("runtime", "any"))
    return Question(
        model=more.pop("model", GPT3),
        training=training,
        fleet=fleet(*(pools or (NEW, OLD))),
        **more,
    )


def test_slower_devices_get_fewer_layers_and_all_layers_are_given_out() -> None:
    best = over_two_pools(ask(), COEFFICIENTS)[0]
    by_pool = dict(zip(best.plan.stage_pools, best.plan.stage_layers, strict=True))

    assert by_pool["old"] < by_pool["new"]
    assert sum(best.plan.stage_layers) == GPT3.layers
    assert len(best.plan.stage_layers) == best.plan.pp


def test_both_pools_together_are_faster_than_each_alone() -> None:
    mixed = over_two_pools(ask(), COEFFICIENTS)[0]
    alone = [search(ask(one), COEFFICIENTS, explain=False).best for one in (NEW, OLD)]

    assert mixed.step_time_s < min(one.step_time_s for one in alone)
    assert mixed.devices <= NEW.devices + OLD.devices


def test_the_search_offers_the_mix_beside_plans_of_one_pool() -> None:
    answer = search(ask(), COEFFICIENTS, explain=False)

    assert answer.best.pool in {"new+old", "old+new"}


def test_a_count_of_devices_is_kept_to() -> None:
    plans = over_two_pools(ask(devices=96), COEFFICIENTS)

    assert plans
    assert {plan.devices for plan in plans} == {96}


def test_money_is_what_both_pools_cost() -> None:
    best = over_two_pools(ask(), COEFFICIENTS)[0]

    assert best.usd_per_step == pytest.approx(best.devices * 2.0 * best.step_time_s / 3600)


def test_without_one_pools_price_the_step_has_none() -> None:
    free = pool(128, A100, name="old", usd=None)

    assert over_two_pools(ask(NEW, free), COEFFICIENTS)[0].usd_per_step is None


@pytest.mark.parametrize(
    ("pools", "more"),
    [
        ((NEW, OLD), {"runtime": "megatron"}),
        ((NEW, OLD), {"pool": "new"}),
        ((NEW, pool(128, H100, name="more")), {}),
        ((NEW, pool(128, A100, name="far", site="elsewhere")), {}),
        ((NEW, OLD), {"pins": {"cp": 2}}),
    ],
    ids=["runtime", "one pool asked for", "one type", "two sites", "pin"],
)
def test_no_mix_where_it_cannot_run_or_was_not_asked_for(
    pools: tuple[Any, ...], more: dict[str, Any]
) -> None:
    assert over_two_pools(ask(*pools, **more), COEFFICIENTS) == ()


def test_pins_are_kept() -> None:
    pins = {"tp": 4, "micro_batch": 1, "recompute": "full", "schedule": "1f1b"}
    plans = over_two_pools(ask(pins=pins), COEFFICIENTS)

    assert plans
    assert {(p.plan.tp, p.plan.micro_batch, p.plan.recompute) for p in plans} == {(4, 1, "full")}


def test_what_fits_no_device_is_not_offered() -> None:
    small = [pool(8, H100, name="new"), pool(8, A100, name="old")]

    assert over_two_pools(ask(*small), COEFFICIENTS) == ()
    assert over_two_pools(ask(*small, model=SMALL), COEFFICIENTS)


def test_each_stage_stands_in_its_own_pool_on_nodes_of_its_own_size() -> None:
    new = pool(64, H100, name="new", node=4)
    best = over_two_pools(ask(new, OLD), COEFFICIENTS)[0].plan
    first, second = (new, OLD) if best.stage_pools[0] == "new" else (OLD, new)

    ranks = rank_map(best, first, beside=(second,))

    assert len(np.unique(ranks.coordinates, axis=0)) == best.world_size
    stage = np.arange(best.world_size) // (best.world_size // best.pp)
    in_first = np.array(best.stage_pools)[stage] == first.name
    nodes, places = ranks.coordinates.T
    assert (nodes[in_first] < first.nodes).all()
    assert (nodes[~in_first] >= first.nodes).all()
    assert places[in_first].max() == first.devices_per_node - 1
    assert places[~in_first].max() == second.devices_per_node - 1
