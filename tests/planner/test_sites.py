from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from tests.planner.world import A100, H100, SMALL, coefficients, fleet, pool

from irongrid.domain.fleet import Pool, WideLink
from irongrid.domain.plan import ParallelPlan
from irongrid.domain.training import Training
from irongrid.planner.answer import PricedPlan
from irongrid.planner.curve import scaling_curve
from irongrid.planner.matrix import communication_matrix
from irongrid.planner.pareto import pareto_front
from irongrid.planner.question import Question
from irongrid.planner.rank_map import rank_map
from irongrid.planner.search import search
from irongrid.planner.sites import across_sites, trained_weights
from irongrid.planner.wide import exchange_s, steps_between

COEFFICIENTS = coefficients()
NORTH = pool(64, H100, name="north", site="hamina")
WEST = pool(64, H100, name="west", site="iowa")
SOUTH = pool(64, H100, name="south", site="santiago")
FAST, SLOW, HOPELESS = 100e9, 2e9, 1e6


def ask(*pools: Pool, rate: float = FAST, runtime: str = "any", **more: Any) -> Question:
    """A question about these pools, each site joined to each."""
    pools = pools or (NORTH, WEST)
    sites = sorted({one.site for one in pools})
    links = tuple(
        WideLink(sites=pair, bytes_per_s=rate, latency_s=0.01) for pair in combinations(sites, 2)
    )
    training = Training(
        global_batch=more.pop("batch", 512),
        seq_len=2048,
        runtime=runtime,
        lora_rank=more.pop("lora_rank", 0),
    )
    wide = replace(fleet(*pools), wide_links=more.pop("links", links))
    return Question(model=SMALL, training=training, fleet=wide, **more)


def best(question: Question) -> PricedPlan:
    return across_sites(question, COEFFICIENTS).plans[0]


@cache
def usual() -> PricedPlan:
    """Both sites over a fast link."""
    return best(ask())


def test_two_sites_share_the_batch_and_run_the_same_plan() -> None:
    found = usual()

    assert (found.pool, found.devices, found.plan.sites) == ("north+west", 128, 2)
    assert found.plan.world_size == 128
    assert found.plan.global_batch == 512
    assert found.plan.dp_replicate % 2 == 0
    assert found.tokens_per_s == pytest.approx(512 * 2048 / found.step_time_s)
    assert sum(found.parts_s.values()) == pytest.approx(found.step_time_s)


def test_one_sites_plan_takes_as_long_on_half_the_batch() -> None:
    alone = search(ask(NORTH, batch=256), COEFFICIENTS, explain=False).best

    assert usual().step_time_s == pytest.approx(alone.step_time_s)
    assert usual().mfu == pytest.approx(alone.mfu)


def test_sites_meet_less_often_over_a_slower_link() -> None:
    every = [best(ask(rate=rate)).plan.sync_every for rate in (FAST, SLOW, SLOW / 10)]

    assert every[0] == 1
    assert every == sorted(set(every))


def test_sites_that_seldom_meet_say_what_that_changes() -> None:
    often, seldom = usual(), best(ask(rate=SLOW / 10))

    assert "in every step" in " ".join(often.why)
    assert f"every {seldom.plan.sync_every} steps (DiLoCo)" in " ".join(seldom.why)
    assert seldom.plan.runnable_by == ()


def test_the_search_offers_sites_beside_plans_of_one() -> None:
    answer = search(ask(), COEFFICIENTS)

    assert answer.best.pool == "north+west"
    assert any("exchange" in why for why in answer.best.why)


def test_a_ring_between_two_sites_sends_the_payload_once() -> None:
    # 2 * 1/2 of 1 GB over 100 MB/s, and two hops of 50 ms.
    spent_s = exchange_s(payload_bytes=1e9, sites=2, link_bytes_per_s=1e8, latency_s=0.05)

    assert spent_s == pytest.approx(10.1)


@pytest.mark.parametrize(
    ("spent_s", "pin", "every"),
    [(0.5, None, 1), (0.7, None, 2), (2.6, None, 10), (249.0, None, 500), (251.0, None, None),
     (0.5, 7, 7), (2.6, 5, None), (0.7, 1, None)],
)  # fmt: skip
def test_the_fewest_steps_that_hide_an_exchange(
    spent_s: float, pin: int | None, every: int | None
) -> None:
    # Steps of 1 s, their last backward pass 0.6 s; beyond one step half of the time is kept free.
    assert steps_between(spent_s, 1.0, 0.6, pin) == every


@pytest.mark.parametrize(
    ("pools", "more"),
    [
        ((NORTH, WEST), {"runtime": "megatron"}),
        ((NORTH, WEST), {"pool": "north"}),
        ((NORTH, WEST), {"rate": HOPELESS}),
        ((NORTH, WEST), {"links": ()}),
        ((NORTH, pool(64, A100, name="west", site="iowa")), {}),
        ((NORTH, replace(WEST, site="hamina")), {}),
        ((NORTH, WEST), {"batch": 511}),
        ((NORTH, WEST), {"devices": 63}),
        ((NORTH, pool(8, H100, name="west", site="iowa")), {"devices": 64}),
        ((NORTH, WEST), {"pins": {"sites": 1}}),
        ((NORTH, WEST), {"pins": {"sites": 3}}),
        ((NORTH, WEST), {"pins": {"dp_replicate": 3}}),
        ((NORTH, WEST), {"rate": SLOW, "pins": {"sync_every": 1}}),
        ((NORTH, replace(WEST, usd_per_device_h=None)), {"goal": "cost"}),
    ],
    ids=["runtime", "one pool asked for", "nothing hides it", "no link", "two types", "one site",
         "batch", "devices", "share of devices", "one site pinned", "three sites pinned",
         "copies pinned", "every step pinned", "no price"],
)  # fmt: skip
def test_no_sites_where_they_cannot_or_were_not_asked_for(
    pools: tuple[Pool, ...], more: dict[str, Any]
) -> None:
    assert across_sites(ask(*pools, **more), COEFFICIENTS).plans == ()


def test_unequal_sites_each_give_what_the_smaller_has() -> None:
    found = best(ask(NORTH, pool(32, H100, name="west", site="iowa")))

    assert found.devices == found.plan.world_size == 64


def test_a_count_of_devices_is_shared_equally() -> None:
    assert {plan.devices for plan in across_sites(ask(devices=96), COEFFICIENTS).plans} == {96}


def test_money_energy_and_carbon_are_what_all_sites_take() -> None:
    dear = replace(WEST, usd_per_device_h=3.0)
    question = ask(NORTH, dear)
    sites = tuple(
        replace(site, carbon_g_per_kwh={"hamina": 100.0, "iowa": 400.0}[site.name])
        for site in question.fleet.sites
    )
    found = best(replace(question, fleet=replace(question.fleet, sites=sites)))

    assert found.usd_per_step == pytest.approx(64 * (2.0 + 3.0) * found.step_time_s / 3600)
    # Both sites draw the same, at 100 and at 400 g.
    assert found.co2_g_per_step == pytest.approx(found.energy_j_per_step * 250 / 3.6e6)


def test_what_one_site_does_not_know_is_not_known_of_all() -> None:
    assert best(ask(NORTH, replace(WEST, usd_per_device_h=None))).usd_per_step is None


@pytest.mark.parametrize("goal", ["time", "cost", "energy", "carbon"])
def test_a_score_compares_with_those_of_one_site(goal: str) -> None:
    found = best(ask(goal=goal))
    figures = {
        "time": found.step_time_s,
        "cost": found.usd_per_step,
        "energy": found.energy_j_per_step,
        "carbon": found.co2_g_per_step,
    }

    assert found.score == pytest.approx(np.log(figures[goal] or 0.0))


def test_the_slower_sites_step_counts() -> None:
    slow = pool(64, H100, name="west", site="iowa", net=1e9)

    assert best(ask(NORTH, slow)).step_time_s > usual().step_time_s
    assert best(ask(NORTH, slow)).step_time_s == best(ask(slow, NORTH)).step_time_s


def test_three_joined_sites_go_together_or_in_pairs() -> None:
    three = ask(NORTH, WEST, SOUTH, batch=768, keep=3)
    pairs = across_sites(replace(three, pins={"sites": 2}), COEFFICIENTS).plans

    assert best(three).pool == "north+west+south"
    assert {plan.pool for plan in pairs} == {"north+west", "north+south", "west+south"}


def test_sites_without_a_link_of_their_own_do_not_go_together() -> None:
    links = tuple(
        WideLink(sites=("hamina", other), bytes_per_s=FAST, latency_s=0.05)
        for other in ("iowa", "santiago")
    )
    plans = across_sites(ask(NORTH, WEST, SOUTH, links=links, keep=2), COEFFICIENTS).plans

    assert {plan.pool for plan in plans} == {"north+west", "north+south"}


def test_pins_are_kept() -> None:
    pins = {"sites": 2, "sync_every": 30, "tp": 2, "dp_replicate": 4}
    plans = search(ask(rate=SLOW, pins=pins), COEFFICIENTS, explain=False).plans

    assert plans
    assert {
        (p.plan.sites, p.plan.sync_every, p.plan.tp, p.plan.dp_replicate) for p in plans
    } == {(2, 30, 2, 4)}  # fmt: skip


def test_what_sites_keep_between_exchanges_lies_in_host_memory() -> None:
    often, seldom = usual(), best(ask(rate=SLOW / 10))
    ranks_of_a_copy = seldom.devices // seldom.plan.dp_replicate

    # In step at each step, there is nothing to keep.
    assert often.host_bytes == 0
    assert seldom.host_bytes == pytest.approx(8 * SMALL.parameters / ranks_of_a_copy, rel=1e-5)


def test_host_memory_that_is_too_small_or_unknown() -> None:
    pins = {"dp_replicate": 128}
    tiny, unknown = (
        [replace(one, host_memory_bytes=size) for one in (NORTH, WEST)] for size in (8 * 2**30, 0)
    )

    assert across_sites(ask(*tiny, rate=SLOW / 10, pins=pins), COEFFICIENTS).plans == ()
    assert across_sites(ask(*unknown, rate=SLOW / 10, pins=pins), COEFFICIENTS).plans


def test_adapters_are_all_that_is_sent() -> None:
    assert trained_weights(ask(), COEFFICIENTS) == pytest.approx(SMALL.parameters, rel=1e-5)
    # 16 x (inputs + outputs) of four attention and three feed-forward matrices in 24 layers.
    adapters = 24 * 16 * (4 * (2048 + 2048) + 3 * (2048 + 8192))
    assert trained_weights(ask(lora_rank=16), COEFFICIENTS) == adapters


PLAN = ParallelPlan(
    world_size=16, pp=2, dp_replicate=4, dp_shard=2, micro_batch=1, grad_accum=2, sites=2,
    sync_every=10,
)  # fmt: skip


def test_copies_meet_in_every_step_at_a_site_and_seldom_between_sites() -> None:
    question = ask()
    found = communication_matrix(PLAN, SMALL, question.training, NORTH)
    within, between = (flow for flow in found.flows if flow.collective == "all-reduce")
    senders, receivers, amounts = replace(found, flows=(between,)).pairs()

    assert (within.axis, within.ranks, between.axis, between.ranks) == ("dp", 2, "sites", 2)
    assert between.level == "wide"
    # Both copies of a site send half of a share's bf16 every tenth step.
    assert between.bytes_per_rank == pytest.approx(within.bytes_per_rank / 2 / 2 / 10, abs=1)
    # A stage has two sites of four ranks, and each meets its equal.
    assert set(np.abs(senders - receivers).tolist()) == {4}
    assert amounts.sum() == pytest.approx(16 * between.bytes_per_rank)


def test_a_site_has_its_own_devices() -> None:
    placed = rank_map(PLAN, NORTH)

    assert sorted(placed.device_of.tolist()) == list(range(16))
    # Two stages, and in each four ranks of the first site and then four of the second.
    assert (placed.coordinates[:, 0] == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4).all()


def test_fewer_devices_of_each_site_where_all_of_them_cannot_be_used() -> None:
    # 12 samples and 24 layers leave nothing to split 7 or 49 ways.
    odd = [pool(56, H100, name=one.name, site=one.site, node=7) for one in (NORTH, WEST)]
    found = search(ask(*odd, batch=24), COEFFICIENTS, explain=False)
    over_sites = across_sites(ask(*odd, batch=24), COEFFICIENTS)

    assert over_sites.plans
    assert all(plan.devices < 112 for plan in over_sites.plans)
    assert over_sites.effort.candidates > 0
    assert found.effort.candidates > over_sites.effort.candidates


def test_the_curve_and_the_front_go_on_where_one_site_ends() -> None:
    curve = scaling_curve(ask(), COEFFICIENTS)
    speed = {point.devices: point.work_per_s_p50 for point in curve.points}
    front = pareto_front(ask(), COEFFICIENTS)

    assert max(speed) == 128
    assert speed[128] > speed[64]
    assert {point.span for point in curve.points if point.devices > 64} == {"any"}
    assert front[0].plan.sites == 2


@pytest.mark.parametrize(
    ("more", "problem", "fix"),
    [
        ({"rate": HOPELESS, "pins": {"sites": 2}}, "does not hide an exchange", "a link of"),
        (
            {"rate": SLOW, "pins": {"sites": 2, "sync_every": 1}},
            "one backward pass is",
            "exchange every",
        ),
        ({"runtime": "megatron", "pins": {"sites": 2}}, "megatron does not train over", "any"),
        ({"pins": {"sites": 3}}, "3 sites are asked for", "links between its sites"),
        ({"batch": 511, "pins": {"sites": 2}}, "cannot share a batch of 511", "multiples of 2"),
        ({"pins": {"sites": 2, "pp": 32}}, "at each of 2 sites, no plan divides", "leave pp open"),
    ],
)
def test_sites_that_are_asked_for_and_cannot_be_say_why(
    more: dict[str, Any], problem: str, fix: str
) -> None:
    found = search(ask(**more), COEFFICIENTS).misfit

    assert found is not None
    assert problem in found.problem
    assert any(fix in one for one in found.fixes), found.fixes


def test_the_link_that_is_offered_hides_the_exchange() -> None:
    pins = {"sites": 2}
    found = search(ask(rate=HOPELESS, pins=pins), COEFFICIENTS).misfit
    assert found is not None
    (fix,) = found.fixes
    rate = float(fix.removeprefix("a link of ").partition(" ")[0].replace(",", "")) * 1e9 / 8

    assert across_sites(ask(rate=1.01 * rate, pins=pins), COEFFICIENTS).plans
    assert not across_sites(ask(rate=0.9 * rate, pins=pins), COEFFICIENTS).plans


def test_the_steps_that_are_offered_hide_the_exchange() -> None:
    pins = {"sites": 2, "sync_every": 1}
    found = search(ask(rate=SLOW, pins=pins), COEFFICIENTS).misfit
    assert found is not None
    every = int(found.fixes[0].removeprefix("exchange every ").partition(" ")[0])

    assert across_sites(ask(rate=SLOW, pins={"sync_every": every}), COEFFICIENTS).plans
    assert not across_sites(ask(rate=SLOW, pins={"sync_every": every // 2}), COEFFICIENTS).plans


def test_every_plan_over_sites_says_how_often_they_meet() -> None:
    plans = search(ask(rate=SLOW, pins={"sites": 2}), COEFFICIENTS).plans

    assert len(plans) > 1
    assert all(f"every {plan.plan.sync_every} steps" in " ".join(plan.why) for plan in plans)
