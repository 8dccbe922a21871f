"""The catalog of models against the published counts, and models from files and numbers."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from irongrid.domain.model import PRESETS, Experts, Latent, ModelShape
from irongrid.errors import Refused, SpecError
from irongrid.spec.catalog import model, model_names, named_model
from irongrid.spec.models import published

WANTED = (
    "gpt3-125m", "gpt3-1.3b", "gpt3-175b", "mt-nlg-530b", "gpt-1t", "llama2-7b", "llama2-70b",
    "llama3-8b", "llama3-70b", "llama3.1-8b", "llama3.1-405b", "mixtral-8x7b", "mixtral-8x22b",
    "deepseek-v3", "qwen3-0.6b", "qwen3-32b", "qwen3-30b-a3b", "qwen3-235b-a22b", "gpt-oss-20b",
    "gpt-oss-120b", "dit-xl-2",
)  # fmt: skip
PUBLISHED = tuple(name for name in model_names() if name not in PRESETS)
_UNITS = {"M": 1e6, "B": 1e9, "T": 1e12}


def figure(text: str) -> tuple[float, float]:
    """A published count, and half of what its last digit is worth."""
    unit = _UNITS.get(text[-1], 1.0)
    digits = text.rstrip("MBT")
    decimals = len(digits.partition(".")[2])
    return float(digits) * unit, 0.5 * 10.0**-decimals * unit


@pytest.mark.parametrize("name", WANTED)
def test_a_usual_model_is_in_the_catalog(name: str) -> None:
    assert name in model_names()


def test_the_presets_of_the_recipe_keep_their_names_and_shapes() -> None:
    for name, shape in PRESETS.items():
        assert model(name) == shape


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_has_as_many_parameters_as_published(name: str) -> None:
    wanted, rounding = figure(published(name)["parameters"])
    # DeepSeek counts the module that predicts further tokens apart.
    shape = replace(model(name), prediction_layers=0)

    # The names of the GPT-3 family are rounder than their shapes.
    share = 0.02 if name.startswith("gpt3") else 0.01
    assert shape.parameters == pytest.approx(wanted, abs=max(rounding, share * wanted))


@pytest.mark.parametrize("name", [name for name in PUBLISHED if "active" in published(name)])
def test_a_token_passes_as_many_parameters_as_published(name: str) -> None:
    # Some count the embedding among the active parameters, some the output layer only.
    wanted, rounding = figure(published(name)["active"])
    shape = replace(model(name), prediction_layers=0)
    least = shape.active_parameters - shape.embedding_parameters

    assert 0.98 * least <= wanted <= 1.02 * shape.active_parameters + rounding


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Llama-3.1-405B", "llama3.1-405b"),
        ("GPT3-175B", "gpt3-175b"),
        ("Mixtral 8x7B", "mixtral-8x7b"),
        ("DiT-XL/2", "dit-xl-2"),
        ("megatron-turing-530b", "mt-nlg-530b"),
    ],
)
def test_a_model_is_found_as_others_write_it(written: str, name: str) -> None:
    assert named_model(written).name == name


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Refused, match=r"did you mean llama3\.1-405b"):
        model("lama3.1-405b")


def test_a_model_by_its_numbers() -> None:
    shape = model("layers=2,hidden=64,heads=4,kv_heads=2,ffn=128,vocab=1000,tied=false")

    # Attention 64*16*(8+4), three matrices of 64*128, two norms; two embeddings; the last norm.
    assert shape.parameters == 2 * (64 * 16 * 12 + 3 * 64 * 128 + 128) + 2 * 64000 + 64


def test_a_model_with_experts_by_its_numbers() -> None:
    shape = model("layers=2,hidden=64,heads=4,ffn=128,vocab=0,experts.count=8,experts.top_k=2,"
                  "experts.ffn=32")  # fmt: skip

    assert shape.experts is not None
    assert (shape.experts.count, shape.kv_heads) == (8, 4)


def test_numbers_that_are_no_model_are_all_reported() -> None:
    with pytest.raises(SpecError) as caught:
        model("layers=0,hiden=64,heads=3,ffn=12x,experts=5")

    assert [problem.field for problem in caught.value.problems] == [
        "layers", "hiden", "ffn", "hidden", "vocab", "experts"
    ]  # fmt: skip
    with pytest.raises(SpecError, match=r"heads=3 do not divide hidden=64"):
        model("layers=1,hidden=64,heads=3,ffn=128,vocab=10")
    with pytest.raises(SpecError, match=r"top_k=9 of 8 experts"):
        model("layers=1,hidden=64,heads=4,ffn=128,vocab=10,experts.count=8,experts.top_k=9,"
              "experts.ffn=8")  # fmt: skip


def test_a_file_of_numbers_says_where_it_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("layers: 2\nhidden: 64\nheads: 4\nkv_heads: 3\nffn: 128\nvocab: 10\n")

    with pytest.raises(SpecError, match=r"mine.yaml:4: kv_heads: kv_heads=3 does not divide"):
        model(str(file))

    file.write_text("layers: 2\nhidden: 64\nheads: 4\nffn: 128\nvocab: 10\n")
    assert named_model(str(file)).name == "mine"


PAGE = (Path(__file__).parents[2] / "docs/reference/models.md").read_text()


def count(weights: int) -> str:
    unit, size = next(
        (unit, size)
        for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("", 1.0))
        if weights >= size
    )
    return f"{weights / size:.4g}{unit}"


@pytest.mark.parametrize("name", model_names())
def test_the_page_has_the_models_of_the_catalog(name: str) -> None:
    shape = model(name)

    active = count(shape.active_parameters) if shape.experts is not None else ""
    row = f"| {name} | {count(shape.parameters)} | {active} | {shape.layers} |"
    assert row in PAGE.splitlines()


def test_the_page_has_every_field_of_a_shape() -> None:
    named = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)?)`", PAGE))

    plain = {field.name for field in fields(ModelShape)} - {"experts", "latent"}
    inner = {f"experts.{field.name}" for field in fields(Experts)}
    inner |= {f"latent.{field.name}" for field in fields(Latent)}
    assert plain | inner <= named


def test_a_path_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        model(str(tmp_path / "config.json"))
