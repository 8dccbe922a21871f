"""The part of YAML that a job file needs."""

import math

import pytest

from irongrid.spec.yaml_text import MAX_CHARS, Unreadable, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 3", 3), ("a: -3", -3), ("a: 010", 10), ("a: 1_000", "1_000"), ("a: 0x10", "0x10"),
        ("a: 1.5", 1.5), ("a: .5", 0.5), ("a: 1e3", 1000.0), ("a: 1..8", "1..8"),
        ("a: true", True), ("a: no", "no"), ("a: on", "on"), ("a: ~", None), ("a:", None),
        ("a: 12h", "12h"), ("a: 2026-12-01T08:00Z", "2026-12-01T08:00Z"), ("a: 12:30", "12:30"),
        ('a: "3"', "3"), ("a: '3'", "3"), ("a: 'it''s'", "it's"), ('a: "x\\ty"', "x\ty"),
        ("a: [1, b]", [1, "b"]), ("a:\n- 1\n- b", [1, "b"]), ("a: {}", {}), ("a: x # y", "x"),
        ("a: |\n  x\n  y\n", "x\ny\n"), ("a: >-\n  x\n  y\n", "x y"), ("a: é", "é"),
        ('{"a": {"b": [null, 1.0]}}', {"b": [None, 1.0]}), ("---\na: 1\n...\n", 1),
        ("\ufeffa: 1", 1), ("a: 1\r\nb: 2\r\n", 1),
    ],
)  # fmt: skip
def test_a_value_is_what_yaml_1_2_says(text: str, value: object) -> None:
    document = read_yaml(text).document

    assert isinstance(document, dict)
    assert document["a"] == value
    assert type(document["a"]) is type(value)


def test_numbers_that_are_none_are_still_floats() -> None:
    document = read_yaml("a: .nan\nb: -.inf\nc: 1" + "0" * 5000).document

    assert isinstance(document, dict)
    assert math.isnan(document["a"])
    assert (document["b"], document["c"]) == (-math.inf, math.inf)


def test_names_of_fields_are_text_whatever_they_look_like() -> None:
    assert read_yaml("1: a\ntrue: b\nnull: c\n").document == {"1": "a", "true": "b", "null": "c"}


def test_every_field_and_item_has_its_line() -> None:
    lines = read_yaml("# a comment\na:\n  b: 1\n  c:\n    - x\n\n    - y\n").lines

    assert lines[("a", "b")] == 3
    assert lines[("a", "c")] == 4
    assert lines[("a", "c", 1)] == 7


def test_the_first_of_two_equal_fields_counts_and_both_lines_are_named() -> None:
    reading = read_yaml("a: 1\nb: 2\na: 3\n")

    assert reading.document == {"a": 1, "b": 2}
    assert [finding.problem for finding in reading.findings] == ["is given twice, on lines 1 and 3"]


def test_a_text_may_have_as_many_characters_as_it_says_and_no_more() -> None:
    assert read_yaml("# " + "x" * (MAX_CHARS - 2)).document is None
    with pytest.raises(Unreadable):
        read_yaml("# " + "x" * (MAX_CHARS - 1))
