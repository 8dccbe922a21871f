"""Models by name, by a file, or by their numbers."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

from irongrid.domain.model import PRESETS, ModelShape
from irongrid.errors import NotFound
from irongrid.spec.document import check_json, read_file
from irongrid.spec.findings import Finding, kind, report
from irongrid.spec.hf_config import hf_shape, looks_like_hf
from irongrid.spec.shapes import shape
from irongrid.spec.yaml_text import MAX_CHARS, Reading, Unreadable, read_yaml

_LONGEST = 80
# Of a config.json; those of large models with quantisation lists take some 100 KB.
MOST_CHARS = 1024 * 1024
_NUMBERS = re.compile(r"\s*[a-z_.]+\s*=\s*\w+(\s*,\s*[a-z_.]+\s*=\s*\w+)*\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A model and how we came to it.

    Attributes:
        assumed: what its file left open and we took for granted, in words.
    """

    name: str
    shape: ModelShape
    assumed: tuple[str, ...] = ()


def model(text: str) -> ModelShape:
    """The model that a text names: see `named_model`."""
    return named_model(text).shape


def named_model(text: str) -> NamedModel:
    """The model that a text names.

    Args:
        text: a name of the catalog (`llama3.1-405b`), the path of a Hugging Face `config.json` or
            of its folder, the path of a file with the fields of `ModelShape`, or such fields:
            `layers=24,hidden=2048,heads=16,ffn=8192,vocab=50257,experts.count=8`.

    Raises:
        NotFound: no model has this name.
        SpecError: the file or the numbers are no model; every problem.
    """
    known = _by_spelling().get(_plain(text))
    if known is not None:
        return NamedModel(name=known, shape=_shapes()[known])
    if os.path.exists(text):
        return model_file(text)
    if _NUMBERS.fullmatch(text[:2000]):
        return _from_numbers(text)
    if "/" in text and text.endswith(("json", "yaml", "yml")):
        read_file(text)
    near = get_close_matches(_plain(text), _by_spelling(), n=1)
    fix = f"did you mean {_by_spelling()[near[0]]}? " if near else ""
    fix += "A model is a name of the catalog, the path of a config.json, or layers=24,hidden=..."
    raise NotFound("unknown_model", f"there is no model {text[:_LONGEST]!r}", fix)


def model_names() -> tuple[str, ...]:
    """The catalog's models, the recipe's presets included."""
    return tuple(_shapes())


def published(name: str) -> Mapping[str, Any]:
    """What the catalog's file says about a model: its published counts and their source."""
    data = _data()
    entry = data["models"][name]
    return {**entry, "source": data["sources"][entry["source"]]}


def model_file(path: str) -> NamedModel:
    """The model in a file: a Hugging Face configuration, or the fields of `ModelShape`.

    Raises:
        SpecError: every problem, with its line.
    """
    path = os.path.join(path, "config.json") if os.path.isdir(path) else path
    reading = _read(path)
    # A folder is called after its model, a file `config.json` is not.
    whole = os.path.abspath(path)
    config = os.path.basename(path) == "config.json"
    named = os.path.dirname(whole) if config else os.path.splitext(whole)[0]
    return _from_document(reading, path, os.path.basename(named))


def _read(path: str) -> Reading:
    """The values of a file. Long ones, which only programs write, are JSON and have no lines."""
    text = read_file(path, MOST_CHARS)
    try:
        return read_yaml(text)
    except Unreadable as unreadable:
        findings = unreadable.findings
    if len(text) > MAX_CHARS or text.lstrip().startswith("{"):
        try:
            return Reading(json.loads(text))
        except (ValueError, RecursionError):
            if len(text) > MAX_CHARS:
                findings = [Finding((), "this is not valid JSON", "Download the file again")]
    raise report(findings, path, {})


def model_document(document: object, *, source: str, name: str) -> NamedModel:
    """The model in plain JSON values.

    Raises:
        SpecError: every problem; there are no lines.
    """
    return _from_document(Reading(document), source, name)


def _from_document(reading: Reading, source: str, name: str) -> NamedModel:
    document = reading.document
    findings = [*reading.findings, *check_json(document)]
    if not findings and not isinstance(document, Mapping):
        fix = "Give a config.json, or fields such as `layers: 24`"
        findings = [Finding((), f"expected a model's fields, got {kind(document)}", fix)]
    if findings or not isinstance(document, Mapping):
        raise report(findings, source, reading.lines)
    assumed: tuple[str, ...] = ()
    if looks_like_hf(document):
        built, findings, assumed = hf_shape(document)
    else:
        built, findings = shape(document)
    if built is None:
        raise report(findings, source, reading.lines)
    return NamedModel(name=name, shape=built, assumed=assumed)


def _from_numbers(text: str) -> NamedModel:
    document: dict[str, Any] = {}
    for pair in text.split(","):
        name, value = (part.strip() for part in pair.split("="))
        outer, _, last = name.rpartition(".")
        section = document.setdefault(outer, {}) if outer else document
        if isinstance(section, dict):
            section[last] = _value(value)
    return model_document(document, source="--model", name="model")


def _value(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdecimal() and len(text) < 19 else text


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name[:_LONGEST].lower())


@cache
def _data() -> Any:
    text = resources.files("irongrid").joinpath("catalog/models.json").read_text("utf-8")
    return json.loads(text)


@cache
def _shapes() -> dict[str, ModelShape]:
    shapes = dict(PRESETS)
    for name, entry in _data()["models"].items():
        built, findings = shape(entry["shape"])
        assert built is not None, f"{name}: {findings}"
        shapes[name] = built
    return shapes


@cache
def _by_spelling() -> dict[str, str]:
    """Names by their spellings; a catalog's own name wins over an alias."""
    aliases = {
        _plain(alias): name
        for name, entry in _data()["models"].items()
        for alias in entry.get("aliases", ())
    }
    return aliases | {_plain(name): name for name in _shapes()}
