"""The catalog: what ships as data, by name. The one place for callers to ask."""

import json
from importlib import resources
from typing import Any

from irongrid.spec.devices import (
    UsualNode,
    accelerator,
    accelerator_names,
    catalog_name,
    sources_of,
    usual_node,
)
from irongrid.spec.fleet import load_fleet
from irongrid.spec.models import NamedModel, model, model_names, named_model

__all__ = [
    "NamedModel",
    "UsualNode",
    "accelerator",
    "accelerator_names",
    "catalog_name",
    "load_coefficients",
    "load_fleet",
    "model",
    "model_names",
    "named_model",
    "sources_of",
    "usual_node",
]


def load_coefficients() -> dict[str, Any]:
    """The planner's fitted efficiencies, as JSON values for `Coefficients.from_json`."""
    return {**_data_file("coefficients.json"), "memory": _data_file("memory.json")}


def _data_file(name: str) -> dict[str, Any]:
    text = resources.files("irongrid").joinpath(f"catalog/{name}").read_text("utf-8")
    values = json.loads(text)
    assert isinstance(values, dict), f"{name} holds one object"
    return values
