"""Recalibration: a few measured points move what they depend on."""

from dataclasses import replace

import numpy as np
import pytest
from tests.cost.cases import FORMULAS, LLAMA_8B, SHIPPED, plan, pool

from irongrid.cost.adjust import adjusted
from irongrid.cost.columns import StepTime
from irongrid.cost.inputs import layout_of, machine_of, work_of
from irongrid.cost.recalibrate import Points, with_residual
from irongrid.cost.step import step_time
from irongrid.domain.fleet import GENERATIONS
from irongrid.domain.training import Training

TRAINING = Training(global_batch=128, seq_len=4096, runtime="torchtitan")
PLANS = [
    plan(world_size=8, pp=1, tp=tp, dp_shard=8 // tp, micro_batch=2, grad_accum=m, zero="fsdp",
         virtual_stages=1, schedule="1f1b", recompute=r)
    for tp in (1, 2, 4) for m in (1, 8) for r in ("none", "full")
]  # fmt: skip
# A device that nobody measured, which computes a quarter slower than its generation.
TRUTH = replace(FORMULAS, gemm_efficiency=FORMULAS.gemm_efficiency * 0.75)
MACHINE = machine_of(pool("MI300X", 1), TRAINING)
WORK = work_of(LLAMA_8B, TRAINING)


def _time(plans: list[int], coefficients: object) -> StepTime:
    return step_time(WORK, MACHINE, layout_of([PLANS[i] for i in plans]), coefficients)  # type: ignore[arg-type]


def _points(plans: list[int]) -> Points:
    return Points(
        work=WORK,
        machine=MACHINE,
        layout=layout_of([PLANS[i] for i in plans]),
        step_time_s=_time(plans, TRUTH).p50_s,
        weight=np.full(len(plans), 8.0),
    )


def test_three_points_of_a_new_device_help_with_its_other_plans() -> None:
    others = [i for i in range(len(PLANS)) if i not in (0, 5, 9)]
    truth = _time(others, TRUTH).p50_s

    before = np.abs(_time(others, SHIPPED).p50_s / truth - 1)
    after = np.abs(
        _time(others, adjusted(_points([0, 5, 9]), SHIPPED).coefficients).p50_s / truth - 1
    )

    assert before.mean() > 0.1
    assert after.mean() < 0.3 * before.mean()


def test_points_say_more_about_what_they_depend_on() -> None:
    found = adjusted(_points([0, 5, 9]), SHIPPED)
    known = {
        (p.name, p.word): sigma / p.sigma
        for p, sigma in zip(found.parameters, found.sigma, strict=True)
    }
    assert known["gemm_efficiency", GENERATIONS.index("cdna3")] < 0.7
    assert known["gemm_efficiency", GENERATIONS.index("tpu")] == pytest.approx(1.0)


def test_a_residual_takes_up_what_the_formulas_leave() -> None:
    points = _points([0, 5, 9])

    learnt = with_residual(points, FORMULAS, amplitude=0.12, noise=0.01)

    off = np.abs(_time([0, 5, 9], FORMULAS).p50_s / points.step_time_s - 1)
    left = np.abs(_time([0, 5, 9], learnt).p50_s / points.step_time_s - 1)
    assert np.all(left < 0.2 * off)
