"""`irongrid twin`: the same decisions on recorded workloads and virtual time."""

from pathlib import Path
from typing import Annotated

import typer

twin = typer.Typer(
    name="twin",
    help="Replay recorded workloads under a policy, on virtual time.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@twin.callback()
def about() -> None:
    """Replay recorded workloads under a policy, on virtual time."""


@twin.command()
def replay(
    dataset: Annotated[str, typer.Option(help="philly, helios-venus, sia or pollux.")],
    workload: Annotated[Path, typer.Option(help="The file to replay.")],
    policy: Annotated[str, typer.Option(help="Whose decisions.")],
    nodes: Annotated[
        int, typer.Option(min=0, help="Size of the cluster; 0 takes the data set's own number.")
    ] = 0,
    head: Annotated[int, typer.Option(min=0, help="Replay only the first jobs; 0 is all.")] = 0,
    history: Annotated[
        list[Path] | None,
        typer.Option(help="A workload of the set that had ended before. Repeatable."),
    ] = None,
    knowledge: Annotated[
        str,
        typer.Option(help="For elastic policies: none (the default), shared, history or oracle."),
    ] = "",
    active_jobs: Annotated[
        float,
        typer.Option(min=0, help="Fixes the fair share behind rho; 0 counts it for each job."),
    ] = 0.0,
    check: Annotated[
        bool, typer.Option("--check", help="Look at every invariant after every event.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on one line, the last of stdout.")
    ] = False,
) -> int:
    """Replay a recorded trace: waits, completion times, restarts, and what decisions cost."""
    from irongrid.cli.screen import Screen
    from irongrid.twin.replay import ReplayOptions, replay

    found = replay(
        ReplayOptions(
            dataset=dataset,
            workload=workload,
            policy=policy,
            nodes=nodes,
            head=head,
            check=check,
            history=tuple(history or ()),
            knowledge=knowledge,
            active_jobs=active_jobs,
        )
    )
    screen = Screen(as_json=as_json)
    for name, value in found.items():
        screen.say(f"{name:22} {value}")
    screen.answer(found)
    return 0
