"""The words of `irongrid twin` beside `replay`: options and help, as `cli/main.py` has them."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on one line, the last of stdout.")
]


def add_to(twin: typer.Typer) -> None:
    """Put the words under `irongrid twin`."""
    twin.command("import")(import_)
    twin.command("run")(run)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header, or of sacct.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the workload here; .gz packs it.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Check a trace of your own: what it says, what is missing, and how to mend it."""
    from irongrid.cli.twins.importing import import_trace

    return import_trace(file, to, as_json=as_json)


def run(
    scenario: Annotated[Path, typer.Argument(metavar="FILE", help="A scenario.yaml.")],
    check: Annotated[
        bool, typer.Option("--check", help="Look at every invariant after every event.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Run a scenario: a workload on a fleet under a policy."""
    from irongrid.cli.twins.run import run

    return run(scenario, check=check, as_json=as_json)
