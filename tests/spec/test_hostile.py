"""No file costs more than 100 ms, whatever is in it; nor does any document."""

from contextlib import suppress
from typing import Any

import pytest
from tests.pace import at_known_pace, processor_time_s

from irongrid.errors import SpecError
from irongrid.spec import parse_job_document, parse_job_text
from irongrid.spec.yaml_text import MAX_CHARS, MAX_VALUES

LIMIT_S = 0.1
ITEMS = MAX_VALUES - 10
TEXTS = {
    "long text": "run: " + "a " * MAX_CHARS,
    "lines of text": "run: " + "a\n " * MAX_CHARS,
    "quoted lines": 'run: "' + "a\n " * MAX_CHARS,
    "block text": "run: |\n" + "  a\n" * MAX_CHARS,
    "blank lines": "run: |\n" + "\n" * MAX_CHARS,
    "comments": "# a\n" * MAX_CHARS,
    "values, then text": "- a\n" * ITEMS + "- " + "a " * MAX_CHARS,
    "values, then blank lines": "- a\n" * ITEMS + "- |\n" + "\n" * MAX_CHARS,
    "fields, then blank lines": "".join(f"a{i}: {{}}\n" for i in range(ITEMS)) + "\n" * MAX_CHARS,
    "unknown fields": "".join(f"trian_{i:014}: 1\n" for i in range(ITEMS)),
    "names of env": "env:\n" + "".join(f"  RANK{i}: 1\n" for i in range(ITEMS)),
    "deep lists": "[" * MAX_CHARS,
    "deep mappings": "{a: " * MAX_CHARS,
    "deep items": "- " * MAX_CHARS,
    "deep names": "? " * MAX_CHARS,
    "deep colons": ": " * MAX_CHARS,
    "broad and deep": ("[" * 11 + "a," * 500) * MAX_CHARS,
    "aliases": "- *a\n" * MAX_CHARS,
    "anchors": "- &a a\n" * MAX_CHARS,
    "tags": "- !!a a\n" * MAX_CHARS,
    "documents": "---\n" * MAX_CHARS,
    "directives": "%YAML 1.2\n" * MAX_CHARS,
    "digits": "retries: {max: " + "9" * (MAX_CHARS - 20) + "}",
    "ten digits after ten": "run: [" + "9" * 1000 + ("," + "9" * 1000) * 30 + "]",
    "escapes": 'run: "' + "\\x41" * (MAX_CHARS // 4 - 10) + '"',
    "same field": "a: 1\n" * MAX_CHARS,
    "no end": "run: [" + "a, " * MAX_CHARS,
    "no letters": "\u2028" * MAX_CHARS,
}


def read_text(text: str) -> None:
    with suppress(SpecError):  # some are right, only large
        parse_job_text(text, source="/w/job.yaml")


def refuse_document(document: Any) -> None:
    with pytest.raises(SpecError) as caught:
        parse_job_document(document, source="a test")
    assert len(str(caught.value)) < 64 * 1024


@pytest.mark.parametrize("cut", [MAX_CHARS, 16 * MAX_CHARS], ids=["allowed size", "any size"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_costs_little_whatever_is_in_it(name: str, cut: int) -> None:
    text = TEXTS[name][:cut]

    assert at_known_pace(lambda: processor_time_s(lambda: read_text(text)), LIMIT_S) < LIMIT_S


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "document",
    [
        {"run": nested(100_000)},
        {"env": {f"V{i}": 1 for i in range(100_000)}},
        {f"trian_{i}": 1 for i in range(4_900)},
        {"run": ["x"] * 1_000_000},
        {"run": "x" * 10_000_000},
        {"name": "x" * 10_000_000},
        {"x" * 1_000_000: 1},
        {"workdir": "/" + "\ud800" * 1_000_000},
        {"retries": {"max": 10**100_000}},
        {"limits": {"max_duration": "1h " * 100_000}},
        {"resources": {"count": "1" * 100_000}},
    ],
    ids=lambda document: next(iter(document))[:20],
)
def test_a_hostile_document_is_refused_at_once(document: dict[str, Any]) -> None:
    def refuse() -> None:
        refuse_document(document)

    assert at_known_pace(lambda: processor_time_s(refuse), LIMIT_S) < LIMIT_S
