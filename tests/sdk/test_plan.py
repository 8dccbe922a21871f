"""`irongrid.plan()`: names and files in, an answer out."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from tests.cli.plan.samples import node_of

import irongrid
from irongrid.domain.job import JobSpec, Resources, RunTask, TrainTask
from irongrid.domain.model import PRESETS
from irongrid.errors import NotFound, SpecError
from irongrid.planner.question import Goal
from irongrid.sdk.plan import ask_for_job, usual_precision, weights

FLEET = node_of(8)


def test_a_model_and_a_fleet_are_enough() -> None:
    answer = irongrid.plan("llama-1b", FLEET)

    assert answer.best.plan.world_size == 8
    assert answer.best.plan.global_batch == 1024
    assert answer.best.plan.precision == "bf16"


def test_pins_are_keyword_arguments() -> None:
    answer = irongrid.plan("llama-1b", FLEET, global_batch=64, seq_len=2048, tp=2, dp=4, zero="1")

    assert {(priced.plan.tp, priced.plan.zero) for priced in answer.plans} == {(2, "1")}


def test_a_shape_is_a_model_too() -> None:
    answer = irongrid.plan(PRESETS["llama-60m"], FLEET, {"time": 0.6, "cost": 0.4}, devices=2)

    assert answer.best.devices == 2


def test_nothing_that_fits_is_a_value_and_not_an_exception() -> None:
    answer = irongrid.plan("llama3.1-405b", FLEET)

    assert answer.plans == ()
    assert answer.misfit is not None
    assert answer.misfit.missing_bytes > 0


def test_an_unknown_model_names_the_nearest_one() -> None:
    with pytest.raises(NotFound) as caught:
        irongrid.plan("lama-1b", FLEET)

    assert "llama-1b" in caught.value.fix


def test_importing_irongrid_loads_no_planner() -> None:
    code = "import irongrid, sys; print([m for m in sys.modules if 'planner' in m or m == 'numpy'])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="plam"):
        irongrid.plam  # noqa: B018


def test_weights_are_read_from_text() -> None:
    assert weights("time=0.6, cost=0.4") == {"time": 0.6, "cost": 0.4}
    assert weights(" energy ") == "energy"
    assert Goal(time=0.6, cost=0.4).weights == weights("time=0.6,cost=0.4")


def test_the_usual_precision_is_what_the_devices_have() -> None:
    assert usual_precision(FLEET, "megatron") == "bf16"


def test_the_usual_precision_is_one_that_the_runtime_knows() -> None:
    (pool,) = FLEET.pools
    old = replace(pool.accelerator, flops_per_s={"fp16": 1e14, "fp32": 1e13})
    fleet = replace(FLEET, pools=(replace(pool, accelerator=old),))

    assert usual_precision(fleet, "megatron") == "fp16"
    assert usual_precision(fleet, "torchtitan") == "fp32"


def job(**task: Any) -> JobSpec:
    train = TrainTask(
        model=PRESETS["llama-3m"], data=("stdlib",), global_batch=16, seq_len=128, steps=10, **task
    )
    return JobSpec(name="tiny", task=train, workdir="/tmp", resources=Resources(sizes=(1, 2, 4)))


def test_a_job_is_planned_for_the_largest_of_its_sizes_that_the_fleet_has() -> None:
    asked = ask_for_job(job(micro_batch=4), FLEET, "time", devices=None, keep=1, pins={})

    assert asked.model_name == "tiny"
    assert asked.question.devices == 4
    assert asked.question.pins == {"micro_batch": 4}
    assert asked.question.training.runtime == "irongrid"


def test_a_command_cannot_be_planned() -> None:
    command = JobSpec(name="c", task=RunTask(argv=("true",)), workdir="/tmp")

    with pytest.raises(SpecError, match="runs a command"):
        ask_for_job(command, FLEET, "time", devices=None, keep=1, pins={})
