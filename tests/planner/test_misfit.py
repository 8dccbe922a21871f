"""What cannot work says why, and what it offers instead works."""

import re
from dataclasses import replace
from typing import Any

import pytest
from tests.planner.world import A100, GIB, GPT3, SMALL, coefficients, pool, question

from irongrid.domain.fleet import Accelerator
from irongrid.domain.model import ModelShape
from irongrid.domain.training import Training
from irongrid.planner.answer import Misfit
from irongrid.planner.question import Question
from irongrid.planner.search import search

COEFFICIENTS = coefficients()
V100 = replace(A100, name="v100-16gb", generation="volta", memory_bytes=16 * GIB)
SEVENTY = ModelShape(
    layers=80, hidden=8192, heads=64, kv_heads=8, ffn=28672, vocab=128256, tied=False
)


def ask(
    model: ModelShape, devices: int, *, on: Accelerator = A100, batch: int = 64,
    runtime: str = "megatron", fleet: int = 0, host_gib: int = 1024, **more: Any,
) -> Question:  # fmt: skip
    training = Training(
        global_batch=batch, seq_len=2048, runtime=runtime, lora_rank=more.pop("lora_rank", 0)
    )
    size = fleet or devices
    where = pool(size, on, node=min(size, 8), host_gib=host_gib)
    return question(model, training, where, devices=devices, **more)


def misfit_of(asked: Question) -> Misfit:
    answer = search(asked, COEFFICIENTS)
    assert answer.misfit is not None, answer.plans[0].plan
    return answer.misfit


def works(asked: Question) -> bool:
    return bool(search(asked, COEFFICIENTS, explain=False).plans)


def test_memory_that_is_missing_is_said_with_the_plan_that_lacks_least() -> None:
    found = misfit_of(ask(GPT3, 8, on=V100))

    assert found.code == "memory"
    assert "(tp 8, micro-batch 1, even with full recompute and optimizer offloaded)" in (
        found.problem
    )
    assert f"{found.missing_bytes / GIB:.1f} GiB are missing" in found.problem


def test_the_offered_count_of_devices_works_and_the_usual_one_below_does_not() -> None:
    fix = misfit_of(ask(GPT3, 8, on=V100)).fixes[-1]
    offered = int(re.fullmatch(r"use ([\d,]+) devices", fix)[1].replace(",", ""))  # type: ignore[index]

    assert works(ask(GPT3, offered, on=V100))
    assert not works(ask(GPT3, offered // 2, on=V100))


def test_the_host_must_have_room_for_what_other_software_would_offload() -> None:
    # 140 GB of weights in bf16: deepspeed can put them beside the device, if there is room.
    small, large = (
        misfit_of(ask(SEVENTY, 1, host_gib=host, lora_rank=16, batch=8)).fixes
        for host in (64, 1024)
    )

    assert not any("deepspeed" in fix for fix in small)
    assert any("deepspeed" in fix for fix in large)


def test_a_pin_that_holds_the_memory_is_named() -> None:
    pins = {"micro_batch": 64, "tp": 1, "pp": 1}
    found = misfit_of(ask(SEVENTY, 64, batch=1024, pins=pins))

    assert found.fixes[0] == "leave micro_batch open (it is pinned to 64)"


@pytest.mark.parametrize(
    ("pins", "problem", "fix"),
    [
        ({"pp": 3}, "pp=3 does not divide 16 devices", "leave pp open, or use one of 1, 2, 4, 8"),
        ({"dp": 64}, "dp=64 does not divide 16 devices", "leave dp open, or use one of 1, 2, 4, 8"),
        ({"micro_batch": 5}, "micro_batch=5 does not divide a batch of 64", "leave micro_batch"),
        ({"zero": "fsdp", "pp": 2}, "megatron has no zero=fsdp beside a pipeline", "pp open"),
        ({"schedule": "interleaved", "virtual_stages": 5}, "", "leave virtual_stages open, or use"),
        ({"virtual_stages": 2, "schedule": "1f1b"}, "", "leave schedule open, or use interleaved"),
    ],
)
def test_what_does_not_divide_is_named_in_words(
    pins: dict[str, Any], problem: str, fix: str
) -> None:
    found = misfit_of(ask(SMALL, 16, pins=pins))

    assert found.code == "divisibility"
    assert problem in found.problem
    assert any(fix in one for one in found.fixes), found.fixes


def test_three_samples_on_many_devices_either_work_or_name_what_would() -> None:
    # 3 samples and 24 layers: at most 8 ways to split a layer over heads and 64 over a sequence.
    found = misfit_of(ask(replace(SMALL, layers=5), 1000, fleet=1000, batch=3))

    assert "batch of 3, 5 layers and 16 heads evenly over 1,000 devices" in found.problem
    count = next(fix for fix in found.fixes if fix.startswith("use ") and "devices" in fix)
    devices = int(re.sub(r"\D", "", count))
    assert works(ask(replace(SMALL, layers=5), devices, fleet=1000, batch=3))
