"""What a person pins is in the plan as it was pinned, or the reason why not is said."""

from dataclasses import replace
from typing import Any

import pytest
from tests.planner.world import H100, SMALL, coefficients, pool, question

from irongrid.domain.model import ModelShape
from irongrid.domain.training import Training
from irongrid.errors import SpecError
from irongrid.planner.question import check
from irongrid.planner.search import search

COEFFICIENTS = coefficients()


def best_with(model: ModelShape, runtime: str, devices: int, **pins: Any) -> Any:
    training = Training(global_batch=64, seq_len=2048, runtime=runtime)
    asked = question(model, training, pool(devices), devices=devices, pins=pins)
    return search(asked, COEFFICIENTS, explain=False).best.plan


@pytest.mark.parametrize(
    "pins",
    [
        {"zero": "1"},
        {"zero": "1", "dp": 1},
        {"zero": "fsdp", "dp": 1, "pp": 1},
        {"schedule": "interleaved"},
        {"schedule": "zbv"},
        {"virtual_stages": 2},
        {"compression": "bf16"},
        {"context": "ulysses"},
        {"offload": "none", "offload_tier": "host"},
        {"sequence_parallel": False},
        {"recompute": "full", "micro_batch": 2},
        {"dp_replicate": 4},
        {"dp_shard": 1},
        {"grad_accum": 8},
    ],
)
def test_a_pin_is_kept(pins: dict[str, Any]) -> None:
    found = best_with(SMALL, "any", 16, **pins)

    assert {name: getattr(found, name) for name in pins} == pins


def test_a_pinned_zero_shards_wherever_there_is_something_to_shard_over() -> None:
    found = best_with(SMALL, "megatron", 16, zero="1")

    assert found.dp_shard > 1 or found.dp == 1


@pytest.mark.parametrize(
    ("pins", "reason"),
    [
        ({"tp": 3}, "tp=3 does not divide the 16 key-value heads.*Use one of 1, 2, 4, 8, 16"),
        ({"ep": 2}, "ep=2, but the model has no experts"),
        ({"tp": 128}, "tp=128 is more than the 64 devices of gpus"),
        ({"context": "ring"}, "context=ring is not what this runtime can do.*Use one of ulysses"),
        ({"offload_tier": "nvme"}, "pool gpus has no nvme to offload to"),
        ({"tp": "x"}, "tp: is 'x'"),
        ({"zero": 3}, "zero: 3 is not known. Use one of none, 1, 2, 3, fsdp"),
        ({"micro_batch": 10**30}, "micro_batch: is 1000"),
        ({"precision": "fp8"}, "precision: cannot be pinned"),
        ({"colour": 3}, "colour: no such field of a plan"),
        ({"sequence_parallel": 3}, "Give true or false"),
    ],
)
def test_a_pin_that_cannot_be_kept_says_why(pins: dict[str, Any], reason: str) -> None:
    training = Training(global_batch=64, seq_len=2048, runtime="deepspeed")

    with pytest.raises(SpecError, match=reason):
        search(question(SMALL, training, pool(64), pins=pins), COEFFICIENTS)


def test_tensor_groups_fill_islands_or_are_filled_by_them() -> None:
    training = Training(global_batch=960, seq_len=2048, runtime="megatron")
    five = ModelShape(layers=20, hidden=2560, heads=20, kv_heads=20, ffn=10240, vocab=51200)

    def tried(devices: int, tp: int) -> None:
        search(question(five, training, pool(40), devices=devices, pins={"tp": tp}), COEFFICIENTS)

    tried(40, 4)
    with pytest.raises(SpecError, match=r"do not fill islands of 8: some lie across two.*1, 2, 4"):
        tried(40, 5)
    # On one island nothing lies across two.
    tried(5, 5)


def test_a_pin_that_one_pool_cannot_keep_leaves_it_to_the_others() -> None:
    training = Training(global_batch=64, seq_len=2048, runtime="megatron")
    asked = question(
        SMALL, training, pool(8, node=4, name="small"), pool(16, H100), pins={"tp": 16}
    )

    assert {plan.pool for plan in search(asked, COEFFICIENTS, explain=False).plans} == {"gpus"}


def test_models_of_absurd_size_are_refused() -> None:
    training = Training(global_batch=8, seq_len=2048)
    for name, shape in (
        ("layers", replace(SMALL, layers=10**12)),
        ("hidden", replace(SMALL, hidden=10**12)),
        ("vocab", replace(SMALL, vocab=10**12)),
    ):
        with pytest.raises(SpecError, match=f"model.{name}"):
            check(question(shape, training, pool(8)))
