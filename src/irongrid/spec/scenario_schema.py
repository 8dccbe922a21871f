"""The published JSON Schema of scenario files: what an editor can check without us."""

from typing import Any

from irongrid.spec.findings import Path
from irongrid.spec.fleet_schema import fleet_schema
from irongrid.spec.scenario_fields import DATASETS, GRAMMAR, OWN_CLUSTER
from irongrid.spec.sections import ANY, section_schema, titled

_GENERATOR = ("workload", "generator")
_DEFAULTS: dict[Path, Any] = {
    ("seed",): 0,
    ("workload", "dataset"): "csv",
    (*_GENERATOR, "arrivals", "daily_swing"): 0.0,
    (*_GENERATOR, "sizes", ANY, "weight"): 1,
}


def scenario_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a scenario file.

    It accepts every file that the parser accepts. It cannot tell whether a file exists, whether a
    job fits the fleet, nor which policies there are.
    """
    schema = section_schema(GRAMMAR, (), _DEFAULTS)
    inline = {name: part for name, part in fleet_schema().items() if name not in ("$schema", "$id")}
    said = {name: schema["properties"]["fleet"][name] for name in ("description", "examples")}
    schema["properties"]["fleet"] = {
        **said, "anyOf": [{"type": "string", "minLength": 1}, inline]
    }  # fmt: skip
    workload = schema["properties"]["workload"]
    workload["oneOf"] = [
        {"required": ["file"]},
        {"required": ["generator"], "not": {"anyOf": [{"required": ["dataset"]},
                                                      {"required": ["head"]}]}},
    ]  # fmt: skip
    workload["properties"]["generator"]["properties"]["sizes"]["minItems"] = 1
    fleetless = [name for name in DATASETS if name != "csv"]
    schema["allOf"] = [
        {"if": {"properties": {"workload": _of(fleetless)}}, "else": {"required": ["fleet"]}},
        {"if": {"properties": {"workload": _of(sorted(OWN_CLUSTER))}},
         "then": {"not": {"required": ["fleet"]}}},
        {"if": {"properties": {"workload": {"required": ["file"]}}},
         "then": {"not": {"required": ["seed"]}}},
    ]  # fmt: skip
    return titled("scenario", schema)


def _of(datasets: list[str]) -> dict[str, Any]:
    return {"required": ["dataset"], "properties": {"dataset": {"enum": datasets}}}
