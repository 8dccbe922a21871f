"""`irongrid.plan()`: names and files in, the planner's answer out."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from irongrid.cost.coefficients import Coefficients
from irongrid.domain.fleet import Fleet
from irongrid.domain.job import JobSpec, TrainTask
from irongrid.domain.model import ModelShape
from irongrid.domain.runtime import RUNTIMES
from irongrid.domain.training import Training
from irongrid.errors import Problem, SpecError
from irongrid.planner.answer import Answer
from irongrid.planner.question import GOALS, Question
from irongrid.planner.search import search
from irongrid.sdk.machine import this_machine
from irongrid.spec.catalog import NamedModel, load_coefficients, load_fleet, named_model

# A customary step of pre-training, four million tokens, where nobody says otherwise.
GLOBAL_BATCH, SEQ_LEN = 1024, 4096
# What the built-in recipe computes in by default.
RECIPE_RUNTIME = "irongrid"
_PREFERRED = ("bf16", "fp16", "fp32")

Pin = int | str | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, and how the person named its model.

    Attributes:
        assumed: what a model's file left open and was taken for granted.
    """

    question: Question
    model_name: str
    assumed: tuple[str, ...] = ()


def plan(
    model: str | ModelShape,
    fleet: "str | os.PathLike[str] | Fleet | None" = None,
    goal: str | Mapping[str, float] = "time",
    *,
    global_batch: int = GLOBAL_BATCH,
    seq_len: int = SEQ_LEN,
    devices: int | None = None,
    runtime: str = "megatron",
    precision: str = "",
    optimizer: str = "adam",
    lora_rank: int = 0,
    keep: int = 5,
    coefficients: Coefficients | None = None,
    **pins: Pin,
) -> Answer:
    """The best ways to split a model over a fleet, best first.

    Args:
        model: a name of the catalog, a Hugging Face `config.json` or its folder, numbers such as
            `layers=32,hidden=4096,...`, or a shape.
        fleet: a fleet file or a fleet; None is this machine.
        goal: `time`, `cost`, `energy`, `carbon`, or weights: `{"time": 0.6, "cost": 0.4}`.
        global_batch: samples per optimizer step; `seq_len` tokens each.
        devices: how many to use; None is as many as help.
        runtime: the software that runs it, see `domain.runtime`; `any` looks beyond all of them.
        precision: of the matrix products; empty is the fleet's usual one.
        lora_rank: rank of adapters; 0 trains every weight.
        keep: plans to return.
        coefficients: those of a recalibration; None is the shipped fit.
        pins: fields of a plan that are fixed: `tp=8`, `pp=16`, `zero="1"`.

    Returns:
        An answer whose `plans` are empty where nothing works; `misfit` then says what is missing.

    Raises:
        SpecError: the question cannot be asked, with every problem in it.
    """
    asked = ask(
        model,
        fleet,
        goal,
        global_batch=global_batch,
        seq_len=seq_len,
        devices=devices,
        runtime=runtime,
        precision=precision,
        optimizer=optimizer,
        lora_rank=lora_rank,
        keep=keep,
        pins=pins,
    )
    return search(asked.question, coefficients or shipped_coefficients())


def shipped_coefficients() -> Coefficients:
    """The fit that comes with this version."""
    return Coefficients.from_json(load_coefficients())


def ask(
    model: str | ModelShape,
    fleet: "str | os.PathLike[str] | Fleet | None",
    goal: str | Mapping[str, float],
    *,
    global_batch: int,
    seq_len: int,
    devices: int | None,
    runtime: str,
    precision: str,
    optimizer: str,
    lora_rank: int,
    keep: int,
    pins: Mapping[str, Pin],
) -> Asked:
    """The planner's question behind names and files; the arguments are those of `plan`."""
    if isinstance(model, str):
        named = named_model(model)
    else:
        named = NamedModel(name="model", shape=model)
    where = fleet if isinstance(fleet, Fleet) else _fleet(fleet)
    training = Training(
        global_batch=global_batch,
        seq_len=seq_len,
        precision=precision or usual_precision(where, runtime),
        optimizer=optimizer,
        lora_rank=lora_rank,
        runtime=runtime,
    )
    question = Question(
        model=named.shape,
        training=training,
        fleet=where,
        devices=devices,
        pins=dict(pins),
        goal=weights(goal) if isinstance(goal, str) else goal,
        keep=keep,
    )
    return Asked(question=question, model_name=named.name, assumed=named.assumed)


def ask_for_job(
    spec: JobSpec,
    fleet: "str | os.PathLike[str] | Fleet | None",
    goal: str | Mapping[str, float],
    *,
    devices: int | None,
    keep: int,
    pins: Mapping[str, Pin],
) -> Asked:
    """The question of a job of the built-in recipe: what its file says is fixed.

    Raises:
        SpecError: the job is a command, of which nobody knows what it computes.
    """
    task = spec.task
    if not isinstance(task, TrainTask):
        problem = "the job runs a command, and only a train: section says what is computed"
        fix = "Describe the model: irongrid plan --model NAME --fleet FILE"
        raise SpecError([Problem(field="run", problem=problem, fix=fix, source=spec.name)])
    where = fleet if isinstance(fleet, Fleet) else _fleet(fleet)
    fixed: dict[str, Pin] = {"dp_replicate": task.dp_replicate} if task.dp_replicate > 1 else {}
    if task.micro_batch is not None:
        fixed["micro_batch"] = task.micro_batch
    most = max((size for size in spec.resources.sizes if size <= where.devices), default=None)
    asked = ask(
        task.model,
        where,
        goal,
        global_batch=task.global_batch,
        seq_len=task.seq_len,
        devices=devices or most or spec.resources.sizes[0],
        runtime=RECIPE_RUNTIME,
        precision="" if task.precision == "auto" else task.precision,
        optimizer="adam",
        lora_rank=0,
        keep=keep,
        pins={**fixed, **pins},
    )
    return Asked(question=asked.question, model_name=spec.name)


def _fleet(place: "str | os.PathLike[str] | None") -> Fleet:
    return this_machine() if place is None else load_fleet(os.fspath(place))


def usual_precision(fleet: Fleet, runtime: str) -> str:
    """What people train in on such devices: bf16 where one has it, else fp16; fp32 on CPUs.

    A runtime that knows one of these only gets what it knows.
    """
    devices = [pool.accelerator for pool in fleet.pools]
    if all(device.generation == "cpu" for device in devices):
        return "fp32"
    ability = RUNTIMES.get(runtime)
    for precision in _PREFERRED:
        if ability is not None and precision not in ability.precisions:
            continue
        if any(precision in device.flops_per_s for device in devices):
            return precision
    return _PREFERRED[0]


def weights(text: str) -> str | dict[str, float]:
    """A goal as it is typed: a word, or `time=0.6,cost=0.4`.

    Raises:
        SpecError: a weight that is no number.
    """
    if "=" not in text:
        return text.strip()
    found: dict[str, float] = {}
    for pair in text.split(","):
        name, _, value = (part.strip() for part in pair.partition("="))
        if name in found:
            problem, fix = f"{name} has two weights", "Give each goal one weight"
            raise SpecError([Problem(field="goal", problem=problem, fix=fix)])
        try:
            found[name] = float(value)
        except ValueError:
            problem = f"{pair.strip()[:40]!r} is no goal with its weight"
            fix = f"Write one of {', '.join(GOALS)}, or time=0.6,cost=0.4"
            raise SpecError([Problem(field="goal", problem=problem, fix=fix)]) from None
    return found
