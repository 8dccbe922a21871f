"""Coefficients as data: what is missing or wrong is said by name."""

import pytest

from irongrid.cost.coefficients import BEHAVIOURS, Coefficients
from irongrid.errors import SpecError
from irongrid.spec.catalog import load_coefficients


def test_a_word_without_an_entry_takes_that_of_the_table() -> None:
    document = load_coefficients()
    document["host_expert_s"] = {"*": 0.001, "megatron": 0.002}

    table = Coefficients.from_json(document).host_expert_s

    assert table[BEHAVIOURS.index("megatron")] == 0.002
    assert table[BEHAVIOURS.index("maxtext")] == 0.001


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("straggle", None, "straggle"),
        ("straggle", float("nan"), "not a finite number"),
        ("host_expert_s", {"*": 1.0, "megatrom": 1.0}, "no such behaviour: megatrom"),
        ("host_expert_s", {"megatron": 1.0}, "is missing"),
    ],
)
def test_a_wrong_coefficient_is_named(name: str, value: object, words: str) -> None:
    document = {**load_coefficients(), name: value}

    with pytest.raises(SpecError, match=words):
        Coefficients.from_json(document)
