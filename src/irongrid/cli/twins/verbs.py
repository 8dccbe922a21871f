"""The words of `irongrid twin` beside `replay`: options and help, as `cli/main.py` has them."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on one line, the last of stdout.")
]
Html = Annotated[
    str, typer.Option(metavar="FILE", help="Write a page with charts, self-contained.")
]


def add_to(twin: typer.Typer) -> None:
    """Put the words under `irongrid twin`."""
    twin.command("import")(import_)
    twin.command("run")(run)
    twin.command("compare")(compare)
    twin.command("whatif")(whatif)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header, or of sacct.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the workload here; .gz packs it.")
    ] = None,
    html: Html = "",
    as_json: Json = False,
) -> int:
    """Check a trace of your own: what it says, what is missing, and how to mend it."""
    from irongrid.cli.twins.importing import import_trace

    return import_trace(file, to, html=html, as_json=as_json)


def run(
    scenario: Annotated[Path, typer.Argument(metavar="FILE", help="A scenario.yaml.")],
    check: Annotated[
        bool, typer.Option("--check", help="Look at every invariant after every event.")
    ] = False,
    html: Html = "",
    as_json: Json = False,
) -> int:
    """Run a scenario: a workload on a fleet under a policy."""
    from irongrid.cli.twins.run import run
    from irongrid.cli.twins.stopping import stoppable

    return stoppable(
        lambda: run(scenario, check=check, html=html, as_json=as_json), as_json=as_json
    )


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A scenario.yaml.")],
    second: Annotated[
        Path | None,
        typer.Argument(metavar="[B]", help="Another; A with a change by default.", show_default=""),
    ] = None,
    policy: Annotated[str, typer.Option(help="Whose decisions, in B.")] = "",
    nodes: Annotated[
        str, typer.Option(metavar="N", help="Nodes in B: +8, -2, 12, or POOL:+8.")
    ] = "",
    fleet: Annotated[str, typer.Option(metavar="FILE", help="A fleet.yaml for B.")] = "",
    html: Html = "",
    as_json: Json = False,
) -> int:
    """Run two scenarios, or one and a change to it, and set them side by side."""
    from irongrid.cli.twins.compare import compare
    from irongrid.cli.twins.stopping import stoppable

    return stoppable(
        lambda: compare(
            first, second, policy=policy, nodes=nodes, fleet=fleet, html=html, as_json=as_json
        ),
        as_json=as_json,
    )


def whatif(
    log: Annotated[
        Path, typer.Argument(metavar="LOG", help="What irongrid events --export has written.")
    ],
    policy: Annotated[str, typer.Option(help="Another policy.")] = "",
    nodes: Annotated[
        str, typer.Option(metavar="N", help="Other nodes: +8, -2, 12, or TYPE:+8.")
    ] = "",
    html: Html = "",
    as_json: Json = False,
) -> int:
    """Replay the log of a live server with other nodes or another policy."""
    from irongrid.cli.twins.stopping import stoppable
    from irongrid.cli.twins.whatif import whatif

    return stoppable(
        lambda: whatif(log, policy=policy, nodes=nodes, html=html, as_json=as_json),
        as_json=as_json,
    )
