"""From the checked fields of a job to the domain's `JobSpec`. Defaults are the domain's own."""

from typing import Any

from irongrid.domain.job import (
    CheckpointPolicy,
    JobSpec,
    Resources,
    Retries,
    RetryCause,
    RunTask,
    TrainTask,
)
from irongrid.spec import fields, rules
from irongrid.spec.document import default_name

_SHELL = ("/bin/sh", "-c")


def job_spec(job: fields.Job) -> JobSpec:
    """The spec of a job in which nothing is wrong."""
    optional: dict[str, Any] = {}
    if job.interpreter is not None:
        optional["interpreter"] = job.interpreter
    if job.env:
        optional["env_names"] = tuple(sorted(job.env))
    task = RunTask(argv=job.run) if job.run is not None else _train_task(job.train)
    assert job.workdir is not None, "a job without workdir was refused"
    return JobSpec(
        name=job.name or _name(job),
        task=task,
        workdir=job.workdir,
        resources=_resources(job),
        retries=_retries(job.retries),
        checkpoint=_checkpoint(job.checkpoint),
        max_duration_s=job.limits.max_duration,
        **optional,
    )


def _name(job: fields.Job) -> str:
    """The name of a job that has none: its preset's, or its program's."""
    if job.run is None:
        return job.train.model.preset or "train"
    if job.run[:2] == _SHELL:
        words = job.run[2].split() if len(job.run) > 2 else []
    else:
        words = list(job.run)
    scripts = [word for word in words if word.endswith((".py", ".sh"))]
    return default_name((scripts or words or ["job"])[0])


def _train_task(train: fields.Train) -> TrainTask:
    given = train.given()
    shape = rules.shape_of(train.model)
    data = train.data.path
    assert shape is not None, "a train job without a model was refused"
    assert data is not None, "a train job without data was refused"
    for section in ("model", "data", "eval"):
        given.pop(section, None)
    if train.eval.every is not None:
        given["eval_every"] = train.eval.every
    if train.eval.fraction is not None:
        given["eval_fraction"] = train.eval.fraction
    return TrainTask(model=shape, data=data, **given)


def _resources(job: fields.Job) -> Resources:
    wanted = job.resources
    optional: dict[str, Any] = {}
    if wanted.accelerator is not None:
        optional["accelerator"] = wanted.accelerator.device_type
    if wanted.cpus is not None:
        optional["cpus"] = wanted.cpus
    if wanted.memory is not None:
        optional["memory_bytes"] = wanted.memory
    return Resources(sizes=tuple(rules.gang_sizes(job)), **optional)


def _retries(retries: fields.Retries) -> Retries:
    given = retries.given()
    if "on" in given:
        given["on"] = tuple(RetryCause(word) for word in given["on"])
    return Retries(**given)


def _checkpoint(checkpoint: fields.Checkpoint) -> CheckpointPolicy:
    optional: dict[str, Any] = {}
    if checkpoint.every is not None:
        optional = {"every_steps": checkpoint.every.steps, "every_s": checkpoint.every.seconds}
    if checkpoint.keep is not None:
        optional["keep"] = checkpoint.keep
    return CheckpointPolicy(**optional)
