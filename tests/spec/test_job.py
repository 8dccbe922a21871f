"""What a right job becomes."""

from dataclasses import replace
from typing import Any

import pytest

from irongrid.domain.job import (
    CheckpointPolicy,
    JobSpec,
    Resources,
    Retries,
    RetryCause,
    RunTask,
    TrainTask,
)
from irongrid.domain.model import PRESETS, ModelShape
from irongrid.errors import SpecError
from irongrid.spec import command_document, parse_job_document, parse_job_text

TRAIN = {
    "model": {"preset": "llama-1m"},
    "data": {"path": "stdlib"},
    "global_batch": 8,
    "seq_len": 64,
    "steps": 10,
}


NUMBERS = {"layers": 2, "hidden": 64, "heads": 4, "ffn": 128, "vocab": 1024}


def parse(**fields: Any) -> JobSpec:
    return parse_job_document({"workdir": "/w", **fields}, source="a test").spec


def train(**fields: Any) -> TrainTask:
    task = parse(train={**TRAIN, **fields}).task
    assert isinstance(task, TrainTask)
    return task


def problems(document: dict[str, Any]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_job_document(document, source="a test")
    return [f"{problem.field}: {problem.problem}" for problem in caught.value.problems]


def test_a_whole_file_becomes_the_spec_that_it_describes() -> None:
    text = """
apiVersion: irongrid/v1
name: code-llama-tiny
train:
  model: {preset: llama-160m}
  data: {path: corpus/*.txt}
  global_batch: 256
  seq_len: 1024
  steps: 2000
  micro_batch: 4
  eval: {every: 50, fraction: 0.02}
  learning_rate: 6e-4
  warmup_steps: 100
  precision: fp32
workdir: runs
env: {OMP_NUM_THREADS: "1", A: ""}
resources: {accelerator: any, count: 1..8, cpus: 2, memory: 4GiB}
retries: {max: 5, on: [infrastructure, user]}
checkpoint: {every: 10m, keep: 4}
limits: {max_duration: 1h30m}
priority: normal
"""

    parsed = parse_job_text(text, source="/home/me/job.yaml")

    assert parsed.environment == {"OMP_NUM_THREADS": "1", "A": ""}
    assert parsed.spec == JobSpec(
        name="code-llama-tiny",
        task=TrainTask(
            model=PRESETS["llama-160m"],
            data=("/home/me/corpus/*.txt",),
            global_batch=256,
            seq_len=1024,
            steps=2000,
            micro_batch=4,
            eval_every=50,
            eval_fraction=0.02,
            learning_rate=6e-4,
            warmup_steps=100,
            precision="fp32",
        ),
        workdir="/home/me/runs",
        env_names=("A", "OMP_NUM_THREADS"),
        resources=Resources(
            accelerator="any", sizes=(1, 2, 4, 8), cpus=2.0, memory_bytes=4 * 2**30
        ),
        retries=Retries(max=5, on=(RetryCause.INFRASTRUCTURE, RetryCause.USER)),
        checkpoint=CheckpointPolicy(every_s=600.0, keep=4),
        max_duration_s=5400.0,
    )


def test_what_a_file_leaves_out_is_the_domain_s_default() -> None:
    assert parse(train=TRAIN) == JobSpec(
        name="llama-1m",
        task=TrainTask(
            model=PRESETS["llama-1m"], data=("stdlib",), global_batch=8, seq_len=64, steps=10
        ),
        workdir="/w",
    )


def test_a_command_as_text_runs_in_a_shell_and_as_a_list_it_does_not() -> None:
    assert parse(run="a | b").task == RunTask(argv=("/bin/sh", "-c", "a | b"))
    assert parse(run=["a", "| b"]).task == RunTask(argv=("a", "| b"))


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(4, (4,)), ("1..4", (1, 2, 3, 4)), ("3..3", (3,)), (4.0, (4,))],
)
def test_a_count_is_a_size_or_a_range_of_sizes(count: Any, sizes: tuple[int, ...]) -> None:
    assert parse(run="x", resources={"count": count}).resources.sizes == sizes


def test_sizes_of_a_train_job_share_the_batch_equally() -> None:
    # 24 samples in micro batches of 2 on 1..16 ranks, of which 2 hold copies of each other.
    job = parse(
        train={**TRAIN, "global_batch": 24, "micro_batch": 2, "dp_replicate": 2},
        resources={"count": "1..16"},
    )

    assert job.resources.sizes == (2, 4, 6, 12)


def test_an_accelerator_may_carry_the_count() -> None:
    resources = parse(run="x", resources={"accelerator": "H100:8"}).resources

    assert (resources.accelerator, resources.sizes) == ("H100", (8,))


def test_a_preset_can_have_some_numbers_changed() -> None:
    assert train(model={"preset": "llama-1m", "layers": 2, "tied": False}).model == replace(
        PRESETS["llama-1m"], layers=2, tied=False
    )


def test_a_shape_in_numbers_has_as_many_kv_heads_as_heads_unless_it_says_otherwise() -> None:
    shape = ModelShape(layers=2, hidden=64, heads=4, kv_heads=4, ffn=128, vocab=1024)

    assert train(model=NUMBERS).model == shape
    assert train(model={**NUMBERS, "kv_heads": 2}).model == replace(shape, kv_heads=2)


@pytest.mark.parametrize(
    ("every", "policy"),
    [
        ("auto", CheckpointPolicy()),
        (50, CheckpointPolicy(every_steps=50)),
        ("30s", CheckpointPolicy(every_s=30.0)),
    ],
)
def test_a_checkpoint_comes_by_itself_by_steps_or_by_time(
    every: Any, policy: CheckpointPolicy
) -> None:
    assert parse(train=TRAIN, checkpoint={"every": every}).checkpoint == policy


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"run": "python3 tools/train.py --fast"}, "train"),
        ({"run": ["/usr/bin/env", "bash", "go.sh"]}, "go"),
        ({"run": "hostname"}, "hostname"),
        ({"run": "'$%&'"}, "job"),
        ({"run": ["/bin/sh", "-c"]}, "job"),
        ({"train": {**TRAIN, "model": NUMBERS}}, "train"),
    ],
)  # fmt: skip
def test_a_job_without_a_name_is_called_after_what_it_runs(
    fields: dict[str, Any], name: str
) -> None:
    assert parse(**fields).name == name


def test_no_value_of_env_is_in_the_spec() -> None:
    parsed = parse_job_document(
        {"run": "x", "workdir": "/w", "env": {"TOKEN": "canary"}}, source="a test"
    )

    assert parsed.environment == {"TOKEN": "canary"}
    assert parsed.spec.env_names == ("TOKEN",)
    assert "canary" not in repr(parsed.spec)


def test_a_document_has_absolute_paths_only() -> None:
    data = {"path": ["/ok/*.txt", "corpus/*.txt"]}
    document = {"train": {**TRAIN, "data": data}, "workdir": ".", "interpreter": "python3"}

    assert problems(document) == [
        'workdir: "." is not an absolute path',
        'interpreter: "python3" is not an absolute path',
        'train.data.path: "corpus/*.txt" is not an absolute path',
    ]
    assert problems({"run": "x"}) == ["workdir: is required"]


def test_rules_across_fields_are_checked_beside_other_problems() -> None:
    document = {
        "workdir": "/w",
        "name": "?",
        "train": {**TRAIN, "global_batch": 10, "steps": "many"},
        "resources": {"count": 4, "cpus": "two"},
    }

    assert [line.partition(":")[0] for line in problems(document)] == [
        "name",
        "train.steps",
        "resources.cpus",
        "resources.count",
    ]


@pytest.mark.parametrize("document", [None, [], "run: x", 3, {"run": {1: 2}}, {1: 2}])
def test_what_is_no_document_is_refused_as_one(document: Any) -> None:
    assert problems(document)


def test_a_command_line_becomes_a_document_that_parses() -> None:
    document = command_document(
        ["python", "train.py"],
        workdir="/w",
        interpreter="/usr/bin/python3",
        name="quick",
        count="1..2",
        cpus=1.5,
        memory="1GiB",
        env={"A": "b"},
        retries=0,
        max_duration="5m",
    )

    parsed = parse_job_document(document, source="command line")

    assert parsed.environment == {"A": "b"}
    assert parsed.spec == JobSpec(
        name="quick",
        task=RunTask(argv=("python", "train.py")),
        workdir="/w",
        interpreter="/usr/bin/python3",
        env_names=("A",),
        resources=Resources(sizes=(1, 2), cpus=1.5, memory_bytes=2**30),
        retries=Retries(max=0),
        max_duration_s=300.0,
    )


def test_a_command_line_without_options_says_only_where_and_what() -> None:
    assert command_document(["hostname"], workdir="/w") == {"run": ["hostname"], "workdir": "/w"}
