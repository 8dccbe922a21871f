"""Whatever comes in: a job or a report, never anything else."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irongrid.errors import SpecError
from irongrid.spec import load_job_text, parse_job_document, parse_job_text
from irongrid.spec.fields import NOT_YET, SECTIONS

NAMES = sorted(
    {str(part) for path in [*SECTIONS, *NOT_YET] for part in path}
    | {name for section in SECTIONS.values() for name in section.model_fields}
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["auto", "any", "stdlib", "llama-1m", "1..8", "4GiB", "10m", "user", "H100:8"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=20,
)


def numbers(**bounds: Any) -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, **bounds)


TRAIN = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["llama-1m", "llama3-70b"]).map(lambda name: {"preset": name})
        | st.just({"layers": 2, "hidden": 64, "heads": 4, "ffn": 128, "vocab": 512}),
        "data": st.fixed_dictionaries({"path": st.sampled_from(["stdlib", "/a/*.txt", ["/a"]])}),
        "global_batch": st.sampled_from([8, 16, 64]),
        "seq_len": st.integers(2, 4096),
        "steps": st.integers(100, 10_000),
    },
    optional={
        "micro_batch": st.sampled_from([1, 2]),
        "eval": st.fixed_dictionaries({}, optional={"every": st.integers(0, 50)}),
        "learning_rate": numbers(min_value=1e-9, max_value=1),
        "warmup_steps": st.integers(0, 100),
        "seed": st.integers(0, 2**32 - 1),
        "precision": st.sampled_from(["auto", "fp32", "bf16"]),
    },
)
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=20,
).filter(lambda text: bool(text.strip()))
COMMON = {
    "name": st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True).filter(lambda n: n != "last"),
    "interpreter": st.just("/usr/bin/python3"),
    "env": st.dictionaries(st.from_regex(r"X_[A-Z0-9_]{0,9}", fullmatch=True), TEXT, max_size=3),
    "resources": st.fixed_dictionaries(
        {},
        optional={
            "count": st.sampled_from([1, 2, 4, "1..4", "2..8"]),
            "cpus": numbers(min_value=0, max_value=64),
            "memory": st.sampled_from(["4GiB", "500 MB", "1.5TiB"]),
        },
    ),
    "retries": st.fixed_dictionaries({}, optional={"max": st.integers(0, 1000)}),
    "limits": st.fixed_dictionaries({}, optional={"max_duration": st.just("1h30m")}),
}
WORKDIR = {"workdir": st.just("/w")}
RUN_JOBS = st.fixed_dictionaries(
    {"run": TEXT | st.lists(TEXT, min_size=1, max_size=3), **WORKDIR}, optional=COMMON
)
TRAIN_JOBS = st.fixed_dictionaries(
    {"train": TRAIN, **WORKDIR},
    optional={
        **COMMON,
        "checkpoint": st.fixed_dictionaries({"every": st.sampled_from(["auto", 50, "10m"])}),
    },
)


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_any_json_value_is_a_job_or_a_report(value: Any) -> None:
    with contextlib.suppress(SpecError):
        parse_job_document(value, source="a test")


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_values_of_known_fields_are_a_job_or_a_report(document: dict[str, Any]) -> None:
    with contextlib.suppress(SpecError):
        parse_job_document(document, source="a test")


YAML_PIECES = st.sampled_from(
    [*"\n :-?[]{},#&*!|>'\"%@`\\~<=.\t\ud800\0\u2028", "\n  ", "- ", ": ", "---\n", "...\n", "<<: ",
     "\\u", "\\U0011", "\\x", "!!", "!<", "%YAML ", "%TAG ! ", "|2-\n", ">+\n", "run", "train", "x",
     "env", "1", "1.5", "1e9", "null"]
)  # fmt: skip


@given(st.lists(YAML_PIECES, max_size=40).map("".join) | st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_job_or_a_report(text: str) -> None:
    with contextlib.suppress(SpecError):
        parse_job_text(text, source="job.yaml")


SECRETS = st.recursive(
    st.sampled_from(["canary", "*canary", "a: canary\0", "\ud800canary"]) | SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["A", "RANK", "B=canary", "\0canary"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(SECRETS)
@settings(max_examples=150, deadline=None)
def test_nothing_in_env_is_ever_in_a_report(env: Any) -> None:
    document = {"run": "x", "steps": 1, "env": env}  # wrong in itself, so there is a report

    with pytest.raises(SpecError) as sent:
        parse_job_document(document, source="http")
    with pytest.raises(SpecError) as written:
        parse_job_text(json.dumps(document), source="/w/job.yaml")

    assert "canary" not in f"{sent.value}{written.value}"


@given(RUN_JOBS | TRAIN_JOBS)
@settings(max_examples=150, deadline=None)
def test_a_text_and_the_document_that_is_sent_are_the_same_job(document: dict[str, Any]) -> None:
    # JSON is YAML: the text path reads what the document path gets.
    loaded = load_job_text(json.dumps(document), source="/w/job.yaml", folder="/w")

    sent = json.loads(json.dumps(loaded.document))
    assert parse_job_document(sent, source="http") == loaded.parsed
    assert sent == {"name": "job", **document}
