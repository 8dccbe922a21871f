"""Peak memory stage by stage: what a plan's figure comes from, and what it must fit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.planner.world import (
    A100,
    GIB,
    GPT3,
    H100,
    MIXTURE,
    coefficients,
    everything,
    fleet,
    pool,
    question,
)

from irongrid.domain.fleet import Accelerator
from irongrid.domain.model import ModelShape
from irongrid.domain.training import Training
from irongrid.planner.answer import PricedPlan
from irongrid.planner.mixed import over_two_pools
from irongrid.planner.one_pool import pool_search, priced
from irongrid.planner.question import Question
from irongrid.planner.search import search
from irongrid.planner.table import rows, take

COEFFICIENTS = coefficients()
RUN = Training(global_batch=128, seq_len=2048, runtime="any")


def best(device: Accelerator, **pins: Any) -> tuple[PricedPlan, ...]:
    asked = question(GPT3, RUN, pool(64, device), pins=pins)
    return search(asked, COEFFICIENTS, explain=False).plans


def test_every_stage_is_listed_and_the_fullest_one_is_the_plans_figure() -> None:
    plan = best(A100, tp=8, pp=8, schedule="1f1b")[0]
    peaks = [stage.peak_memory_bytes for stage in plan.stage_memory]

    assert [stage.stage for stage in plan.stage_memory] == list(range(8))
    assert {stage.pool for stage in plan.stage_memory} == {"gpus"}
    assert plan.peak_memory_bytes == max(peaks) == peaks[0]
    assert all(
        sum(stage.parts_bytes.values()) == pytest.approx(stage.peak_memory_bytes, abs=10)
        for stage in plan.stage_memory
    )
    # 1F1B keeps one micro-batch fewer on each further stage.
    kept = [stage.parts_bytes["activations"] for stage in plan.stage_memory[:-1]]
    assert kept == sorted(kept, reverse=True)


@pytest.mark.parametrize("model", [GPT3, replace(GPT3, layers=90), MIXTURE])
def test_the_search_never_takes_a_plan_for_leaner_than_its_fullest_stage(
    model: ModelShape,
) -> None:
    asked = question(model, RUN, pool(16))
    one = pool_search(asked, pool(16), COEFFICIENTS, 16)
    table = everything(one, (16,))
    table = take(table, np.arange(0, rows(table), max(rows(table) // 200, 1)))
    searched = one.pricer.memory(table)

    plans = priced(table, np.zeros(rows(table)), asked, one.pricer)
    for row, plan in enumerate(plans):
        most = max(stage.peak_memory_bytes_p95 for stage in plan.stage_memory)
        assert most <= searched.p95_bytes[row] * (1 + 1e-9) + 1
        if len(set(plan.plan.stage_layers)) == 1:
            assert most == pytest.approx(searched.p95_bytes[row], abs=2)


def test_a_plan_of_which_only_the_average_stage_fits_is_not_offered() -> None:
    pins = {"tp": 8, "pp": 8, "schedule": "1f1b", "recompute": "none", "offload": "none"}
    roomy = replace(A100, memory_bytes=200 * GIB)
    plan = best(roomy, **pins)[0]
    stages = [stage.peak_memory_bytes_p95 for stage in plan.stage_memory]
    average = sum(stages) // len(stages)
    assert average < max(stages)

    between = replace(roomy, memory_bytes=(average + max(stages)) // 2)
    offered = best(between, **pins)

    assert plan.plan not in [other.plan for other in offered]
    assert all(
        stage.peak_memory_bytes_p95 <= between.memory_bytes
        for other in offered
        for stage in other.stage_memory
    )


def mixed(new: Accelerator, old: Accelerator, **pins: Any) -> tuple[PricedPlan, ...]:
    pools = (pool(64, new, name="new"), pool(128, old, name="old"))
    asked = Question(
        model=GPT3,
        training=replace(RUN, global_batch=256),
        fleet=fleet(*pools),
        pins=pins,
        keep=20,
    )
    return over_two_pools(asked, COEFFICIENTS)


def test_stages_of_each_pool_fit_its_own_devices() -> None:
    sizes = {"new": 80 * GIB, "old": 50 * GIB}
    plans = mixed(H100, replace(A100, name="a100-50gb", memory_bytes=sizes["old"]))

    assert plans
    for plan in plans:
        assert tuple(stage.pool for stage in plan.stage_memory) == plan.plan.stage_pools
        assert all(s.peak_memory_bytes_p95 <= sizes[s.pool] for s in plan.stage_memory)


def test_a_mix_of_which_one_stage_does_not_fit_its_device_is_not_offered() -> None:
    pins = {"tp": 8, "dp": 4, "micro_batch": 2, "recompute": "none"}
    roomy = replace(H100, memory_bytes=200 * GIB)
    plan = mixed(roomy, A100, **pins)[0]
    needs = [s.peak_memory_bytes_p95 for s in plan.stage_memory if s.pool == "new"]
    average = sum(needs) // len(needs)
    assert average < max(needs)

    size = (average + max(needs)) // 2
    less = mixed(replace(roomy, memory_bytes=size), A100, **pins)

    assert plan.plan not in [other.plan for other in less]
    assert all(
        stage.peak_memory_bytes_p95 <= size
        for other in less
        for stage in other.stage_memory
        if stage.pool == "new"
    )
