"""The words of `irongrid twin`: options and help, as `cli/main.py` has them."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on one line, the last of stdout.")
]
Html = Annotated[
    str, typer.Option(metavar="FILE", help="Write a page with charts, self-contained.")
]


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
    dataset: Annotated[str, typer.Option(help="csv, philly, helios-venus, sia, pollux or openb.")],
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
    knowledge: Annotated[
        str,
        typer.Option(help="For elastic policies: none (the default), shared, history or oracle."),
    ] = "",
    active_jobs: Annotated[
        float,
        typer.Option(min=0, help="Fixes the fair share behind rho; 0 counts it for each job."),
    ] = 0.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the order of arrival, for openb; 0 by default.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look at every invariant after every event.")
    ] = False,
    html: Html = "",
    as_json: Json = False,
) -> int:
    """Replay a recorded trace: waits, completion times, restarts, and what decisions cost."""
    from irongrid.cli.twin.replaying import replayed
    from irongrid.cli.twin.stopping import stoppable
    from irongrid.twin.replay import ReplayOptions

    options = ReplayOptions(
        dataset=dataset,
        workload=workload,
        policy=policy,
        nodes=nodes,
        head=head,
        check=check,
        history=tuple(history or ()),
        knowledge=knowledge,
        active_jobs=active_jobs,
        seed=seed,
    )
    return stoppable(
        lambda: replayed(options, fleet=fleet, html=html, as_json=as_json), as_json=as_json
    )


@twin.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header, or of sacct.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the workload here; .gz packs it.")
    ] = None,
    html: Html = "",
    as_json: Json = False,
) -> int:
    """Check a trace of your own: what it says, what is missing, and how to mend it."""
    from irongrid.cli.twin.importing import import_trace

    return import_trace(file, to, html=html, as_json=as_json)


@twin.command()
def run(
    scenario: Annotated[Path, typer.Argument(metavar="FILE", help="A scenario.yaml.")],
    check: Annotated[
        bool, typer.Option("--check", help="Look at every invariant after every event.")
    ] = False,
    html: Html = "",
    as_json: Json = False,
) -> int:
    """Run a scenario: a workload on a fleet under a policy."""
    from irongrid.cli.twin.run import run
    from irongrid.cli.twin.stopping import stoppable

    return stoppable(
        lambda: run(scenario, check=check, html=html, as_json=as_json), as_json=as_json
    )


@twin.command()
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
    from irongrid.cli.twin.compare import compare
    from irongrid.cli.twin.stopping import stoppable

    return stoppable(
        lambda: compare(
            first, second, policy=policy, nodes=nodes, fleet=fleet, html=html, as_json=as_json
        ),
        as_json=as_json,
    )


@twin.command()
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
    from irongrid.cli.twin.stopping import stoppable
    from irongrid.cli.twin.whatif import whatif

    return stoppable(
        lambda: whatif(log, policy=policy, nodes=nodes, html=html, as_json=as_json),
        as_json=as_json,
    )


@twin.command()
def chaos(
    seeds: Annotated[int, typer.Option(min=1, help="How many lives.")] = 100,
    first_seed: Annotated[int, typer.Option(min=0, help="The seed of the first.")] = 0,
    as_json: Json = False,
) -> int:
    """Let everything fail around the real control plane, and look whether its promises hold."""
    from irongrid.cli.twin.living import live
    from irongrid.cli.twin.stopping import stoppable

    return stoppable(lambda: live(seeds, first_seed, as_json=as_json), as_json=as_json)
