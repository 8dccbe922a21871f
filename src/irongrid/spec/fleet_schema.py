"""The published JSON Schema of fleet files: what an editor can check without us."""

from typing import Any

from irongrid.spec.findings import Path
from irongrid.spec.fleet_fields import GRAMMAR
from irongrid.spec.sections import ANY, section_schema, titled

_POOL = ("pools", ANY)
_DEFAULTS: dict[Path, float | bool] = {
    (*_POOL, "network", "oversubscription"): 1.0,
    (*_POOL, "spot"): False,
    ("sites", ANY, "pue"): 1.0,
    ("sites", ANY, "usd_per_kwh"): 0.0,
}


def fleet_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a fleet file.

    It accepts every file that the parser accepts. It cannot tell whether a device is known, whether
    islands and tori fit, nor which sites are joined.
    """
    schema = section_schema(GRAMMAR, (), _DEFAULTS)
    schema["properties"]["pools"]["minProperties"] = 1
    return titled("fleet", schema)
