"""`irongrid twin`: the same decisions on recorded workloads and virtual time."""

from pathlib import Path
from typing import Annotated

import typer

from irongrid.cli.twins import verbs

twin = typer.Typer(
    name="twin",
    help="Replay recorded workloads under a policy, on virtual time.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
verbs.add_to(twin)


@twin.callback()
def about() -> None:
    """Replay recorded workloads under a policy, on virtual time."""


@twin.command()
def replay(
    dataset: Annotated[str, typer.Option(help="csv, philly, helios-venus, sia or pollux.")],
    workload: Annotated[Path, typer.Option(help="The file to replay.")],
    policy: Annotated[str, typer.Option(help="Whose decisions.")],
    nodes: Annotated[
        int, typer.Option(min=0, help="Size of the cluster; 0 takes the data set's own number.")
    ] = 0,
    fleet: Annotated[
        str, typer.Option(metavar="FILE", help="A fleet.yaml in place of the data set's cluster.")
    ] = "",
    head: Annotated[int, typer.Option(min=0, help="Replay only the first jobs; 0 is all.")] = 0,
    history: Annotated[
        list[Path] | None,
        typer.Option(help="A workload of the set that had ended before. Repeatable."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look at every invariant after every event.")
    ] = False,
    html: verbs.Html = "",
    as_json: verbs.Json = False,
) -> int:
    """Replay a recorded trace: waits, completion times, restarts, and what decisions cost."""
    from irongrid.cli.twins.replaying import replayed
    from irongrid.cli.twins.stopping import stoppable
    from irongrid.twin.replay import ReplayOptions

    options = ReplayOptions(
        dataset=dataset,
        workload=workload,
        policy=policy,
        nodes=nodes,
        head=head,
        check=check,
        history=tuple(history or ()),
    )
    return stoppable(
        lambda: replayed(options, fleet=fleet, html=html, as_json=as_json), as_json=as_json
    )
