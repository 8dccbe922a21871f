"""The published JSON Schema of job files: what an editor or a program can check without us."""

from dataclasses import fields
from typing import Any

from irongrid.domain.codec import to_json
from irongrid.domain.job import CheckpointPolicy, Resources, Retries, TrainTask
from irongrid.spec.fields import GRAMMAR
from irongrid.spec.findings import Path
from irongrid.spec.rules import SHAPE
from irongrid.spec.sections import section_schema, titled


def job_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a job file. It has the fields that are honoured, no others.

    It accepts every file that the parser accepts. It cannot tell what one number means for another
    (`heads` and `hidden`, `global_batch` and `count`), nor whether a range runs backwards.
    """
    schema = section_schema(GRAMMAR, (), _DEFAULTS)
    train = schema["properties"]["train"]["properties"]
    train["model"]["anyOf"] = [{"required": ["preset"]}, {"required": list(SHAPE)}]
    schema["properties"]["resources"]["not"] = {
        "required": ["accelerator", "count"],
        "properties": {"accelerator": {"pattern": ":"}},
    }
    schema["oneOf"] = [
        {"required": ["run"], "not": {"required": ["checkpoint"]}},
        {"required": ["train"]},
    ]
    return titled("job", schema)


def _defaults_of(owner: type, path: Path, names: dict[str, str]) -> dict[Path, Any]:
    """Defaults of a domain class by the field that sets them."""
    by_name = {field.name: field.default for field in fields(owner)}
    return {(*path, ours): to_json(by_name[theirs]) for ours, theirs in names.items()}


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_RECIPE = ("dp_replicate", "learning_rate", "warmup_steps", "weight_decay", "clip_norm", "seed")
_DEFAULTS: dict[Path, Any] = {
    ("workdir",): ".",
    ("priority",): "normal",
    ("resources", "count"): 1,
    ("checkpoint", "every"): "auto",
    **_defaults_of(TrainTask, ("train",), _same(*_RECIPE, "precision")),
    **_defaults_of(
        TrainTask, ("train", "eval"), {"every": "eval_every", "fraction": "eval_fraction"}
    ),
    **_defaults_of(Resources, ("resources",), _same("accelerator", "cpus")),
    **_defaults_of(Retries, ("retries",), _same("max", "on")),
    **_defaults_of(CheckpointPolicy, ("checkpoint",), _same("keep")),
}
