"""The reasons for a plan: what binds, the next best, what more hardware would bring."""

from typing import Any

import pytest
from tests.planner.world import A100, GPT3, H100, SMALL, coefficients, pool, question

from irongrid.domain.model import ModelShape
from irongrid.domain.training import Training
from irongrid.planner.answer import PricedPlan
from irongrid.planner.search import search
from irongrid.planner.why import AT_A_GLANCE

COEFFICIENTS = coefficients()


def best(model: ModelShape, batch: int, devices: int, net: float = 25e9, **more: Any) -> PricedPlan:
    training = Training(global_batch=batch, seq_len=2048, runtime="megatron")
    asked = question(model, training, pool(devices, A100, net=net), **more)
    return search(asked, COEFFICIENTS).best


@pytest.mark.parametrize(
    ("binding", "asked"),
    [
        ("Memory binds", {"model": GPT3, "batch": 1536, "devices": 128}),
        (
            "Bandwidth binds",
            {"model": SMALL, "batch": 512, "devices": 64, "net": 1e8, "pins": {"pp": 1, "tp": 1}},
        ),
        (
            "The batch binds: every data-parallel rank has one micro-batch.",
            {"model": SMALL, "batch": 64, "devices": 64, "net": 1e12, "pins": {"micro_batch": 1}},
        ),
        ("Compute binds", {"model": SMALL, "batch": 512, "devices": 8}),
    ],
)
def test_the_first_reason_is_what_binds(binding: str, asked: dict[str, Any]) -> None:
    assert binding in best(**asked).why[0]


def test_three_sentences_say_what_binds_the_next_best_and_what_would_help() -> None:
    found = best(GPT3, 1536, 1024)
    first, second, third = found.why[:AT_A_GLANCE]

    assert "bind" in first
    assert second.startswith("The next best is ")
    assert third.startswith("Twice the network would ")
    assert "more device" in third
    # Shares of the step come after them, for whoever asks for everything.
    assert "of the step is compute" in found.why[-1]


def test_half_as_many_devices_as_divide_evenly_know_the_next_count_that_helps() -> None:
    # 9 devices share neither 64 samples nor 24 layers and 16 heads; 16 do.
    third = best(SMALL, 64, 8).why[2]

    assert "9 do not divide evenly or run slower, and 16 in all are" in third


def test_the_next_best_for_money_may_be_faster_and_says_at_what_price() -> None:
    training = Training(global_batch=512, seq_len=2048, runtime="megatron")
    pools = (pool(16, A100, name="old", usd=1.0), pool(16, H100, name="new", usd=2.4))
    found = search(question(SMALL, training, *pools, goal="cost", keep=40), COEFFICIENTS).plans
    faster = [plan.why[-1] for plan in found[1:] if plan.step_time_s < 0.99 * found[0].step_time_s]

    assert faster
    assert all("faster for" in why and "more" in why for why in faster)
