"""`irongrid schema`: the JSON Schema of a file format."""

import json

from irongrid.cli.failures import wrong_input
from irongrid.cli.grammar import nearest
from irongrid.cli.screen import Screen

FORMATS = ("job", "fleet", "scenario")


def schema(what: str, *, as_json: bool) -> int:
    """Print the schema: indented for people and files, on one line with --json."""
    if what not in FORMATS:
        near = nearest(what, FORMATS)
        fix = f"did you mean {near}?" if near else f"there is: {', '.join(FORMATS)}"
        raise wrong_input(f"there is no format {what!r}", fix)
    from irongrid.spec import fleet_schema, job_schema, scenario_schema

    screen = Screen(as_json=as_json)
    made = {"job": job_schema, "fleet": fleet_schema, "scenario": scenario_schema}
    value = made[what]()
    if not as_json:
        screen.raw(json.dumps(value, indent=2) + "\n")
    screen.answer(value)
    return 0
