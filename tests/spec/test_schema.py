"""The published schema says what the parser does, as far as a schema can."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irongrid.errors import SpecError
from irongrid.spec import job_schema, parse_job_document
from irongrid.spec.fields import NOT_YET, SECTIONS
from irongrid.spec.yaml_text import Unreadable, read_yaml

ROOT = Path(__file__).parents[2]
BAD = Path(__file__).parent / "bad"
SCHEMA = jsonschema_rs.validator_for(job_schema())

# About several fields taken together, or about sizes in bytes.
BEYOND_A_SCHEMA = {
    "batch-no-size-in-range",
    "batch-not-shared-equally",
    "batch-smaller-than-gang",
    "count-backwards",
    "count-too-many-sizes",
    "dp-replicate",
    "hostile-nul-escape",
    "memory-too-small",
    "micro-batch",
    "micro-batch-times-ranks",
    "model-heads",
    "model-odd-head-size",
    "model-preset-with-other-heads",
    "warmup-longer-than-training",
    "duration-zero",
    "checkpoint-every-too-short",
}


def documents() -> dict[str, Any]:
    """The wrong files that are right as YAML."""
    found = {}
    for path in sorted(BAD.glob("*.yaml")):
        try:
            reading = read_yaml(path.read_text())
        except (Unreadable, UnicodeDecodeError):
            continue
        if not reading.findings and path.stem != "hostile-half-character":  # no UTF-8, so no JSON
            found[path.stem] = reading.document
    return found


DOCUMENTS = documents()


def test_it_is_a_schema_of_the_2020_draft() -> None:
    schema = job_schema()

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert jsonschema_rs.meta.is_valid(schema)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_it_accepts_the_examples(path: Path) -> None:
    SCHEMA.validate(read_yaml(path.read_text()).document)


@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - BEYOND_A_SCHEMA))
def test_it_refuses_what_the_parser_refuses(name: str) -> None:
    assert not SCHEMA.is_valid(DOCUMENTS[name])


@pytest.mark.parametrize("name", sorted(BEYOND_A_SCHEMA))
def test_what_is_called_beyond_a_schema_is_so(name: str) -> None:
    assert name in DOCUMENTS
    if name != "hostile-nul-escape":
        assert SCHEMA.is_valid(DOCUMENTS[name])


def leaves(schema: dict[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, part in schema.get("properties", {}).items():
        where = (*path, name)
        found |= {where: part} if where not in SECTIONS else leaves(part, where)
    return found


def test_it_has_the_honoured_fields_and_no_others() -> None:
    known = {
        (*path, name)
        for path, section in SECTIONS.items()
        for name in section.model_fields
        if (*path, name) not in SECTIONS
    }

    assert set(leaves(job_schema())) == known
    assert not known & set(NOT_YET)


@pytest.mark.parametrize("path", leaves(job_schema()), ids=".".join)
def test_every_field_says_what_it_is_and_its_example_and_default_fit(path: tuple[str, ...]) -> None:
    part = leaves(job_schema())[path]
    fits = jsonschema_rs.validator_for({key: part[key] for key in part if key != "description"})

    assert part["description"]
    assert all(fits.is_valid(example) for example in part["examples"])
    if "default" in part:
        assert fits.is_valid(part["default"])


ODD = st.sampled_from(
    [None, True, 0, 1, -1, 2, 8, 1.5, 4.0, 1e9, "", "1", "auto", "1..8", "9..99999", "4GiB", "1GB ",
     "10m", "1h 30m", "H100:8", "H100:16384", "H100:16385", "any", "last", "a b", "user", "stdlib",
     "/x", "$x", [], ["user"], ["user", "user"], ["/x", "stdlib"], [""], ["x", ""], {}, {"A": "b"},
     {"RANK": "1"}, {"A": 1}, {"every": 10}, {"preset": "llama-1m"}, "bf16", "normal", 10**30]
)  # fmt: skip
RIGHT = {
    "train": {
        "model": {"preset": "llama-1m"},
        "data": {"path": "stdlib"},
        "global_batch": 8,
        "seq_len": 64,
        "steps": 100,
    },
    "workdir": "/w",
}


@given(st.lists(st.tuples(st.sampled_from(sorted(leaves(job_schema()))), ODD), max_size=2))
@settings(max_examples=300, deadline=None)
def test_it_accepts_whatever_the_parser_accepts(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    document: dict[str, Any] = {**RIGHT, "train": {**RIGHT["train"]}}  # type: ignore[dict-item]
    for path, value in changes:
        section = document
        for name in path[:-1]:
            section[name] = dict(section.get(name, {}))
            section = section[name]
        section[path[-1]] = value

    try:
        parse_job_document(document, source="a test")
    except SpecError:
        return
    assert SCHEMA.is_valid(document)
