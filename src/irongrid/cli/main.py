"""The command line at a glance: every verb, its options and its help.

A verb's work stands in a module of its own, imported when the verb runs, so that `--help` and
shell completion stay quick. `run` turns whatever happens into an exit code.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from irongrid.cli.failures import Shown, shown
from irongrid.cli.grammar import Verbs, explain_usage, split_command
from irongrid.cli.plan.command import plan
from irongrid.cli.twin.verbs import twin
from irongrid.client.home import Home
from irongrid.errors import IrongridError

SERVER, PLANS, JOBS, MORE = "Server", "Plans", "Jobs", "First steps and help"

app = typer.Typer(
    cls=Verbs,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the answer is no, 2 your input, 3 not reachable, 4 our fault.",
)


def _complete_job(ctx: typer.Context, args: list[str], incomplete: str) -> list[tuple[str, str]]:
    from irongrid.cli.completion import job_ids

    return job_ids(Home.of(os.environ), incomplete)


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on one line, the last of stdout.")
]
Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="Id, part of an id, name, or 'last'.",
        autocompletion=_complete_job,
        show_default=False,
    ),
]
Jobs = Annotated[
    list[str],
    typer.Argument(
        metavar="JOB...",
        help="Ids, parts of ids, names, or 'last'.",
        autocompletion=_complete_job,
        show_default=False,
    ),
]


@app.callback()
def irongrid(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> int:
    """Trains AI models on your machines: runs jobs, keeps them alive, and says why.

    New here? Try: irongrid demo
    """
    if ctx.invoked_subcommand is not None:
        return 0
    if version:
        from irongrid import __version__

        typer.echo(f"irongrid {__version__}")
    else:
        typer.echo(ctx.get_help())
    return 0


# ---- server -----------------------------------------------------------------------------------


@app.command(rich_help_panel=SERVER)
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background.")] = False,
    nodes: Annotated[
        str, typer.Option(help="Present this machine as nodes x CPU devices, such as 4x2.")
    ] = "",
    home: Annotated[
        str, typer.Option(help="Folder of the server's state; default is IRONGRID_HOME.")
    ] = "",
    store: Annotated[
        str,
        typer.Option(
            envvar="IRONGRID_STORE",
            show_envvar=True,
            help="postgresql://... for a team; default is a file in the home.",
        ),
    ] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 0,
    tls_cert: Annotated[str, typer.Option(help="Certificate, PEM; needed off loopback.")] = "",
    tls_key: Annotated[str, typer.Option(help="Its private key, PEM.")] = "",
    as_json: Json = False,
) -> int:
    """Start the server."""
    from irongrid.cli.up import UpOptions, up

    return up(
        UpOptions(
            home=Home.of({**os.environ, "IRONGRID_HOME": home} if home else os.environ),
            nodes=nodes,
            store=store,
            host=host,
            port=port,
            tls_cert=tls_cert,
            tls_key=tls_key,
        ),
        detach=detach,
        as_json=as_json,
    )


@app.command(rich_help_panel=SERVER)
def down(
    stop_jobs: Annotated[
        bool, typer.Option("--stop-jobs", help="Running jobs save, stop and wait in the queue.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Stop the server; running jobs go on unless told otherwise."""
    from irongrid.cli.down import down

    return down(_home(), stop_jobs=stop_jobs, as_json=as_json)


Node = Annotated[
    str, typer.Argument(metavar="NODE", help="Name of a node, such as n0.", show_default=False)
]


@app.command(rich_help_panel=SERVER)
def drain(
    node: Node,
    leave: Annotated[
        bool, typer.Option("--leave", help="What runs there saves and goes on elsewhere.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Give a node no new work; what runs there ends by itself."""
    from irongrid.cli.nodes import drain

    return drain(_home(), node, leave=leave, as_json=as_json)


@app.command(rich_help_panel=SERVER)
def undrain(node: Node, as_json: Json = False) -> int:
    """Give a drained node work again."""
    from irongrid.cli.nodes import undrain

    return undrain(_home(), node, as_json=as_json)


# ---- plans ------------------------------------------------------------------------------------

app.command(rich_help_panel=PLANS)(plan)

# ---- jobs -------------------------------------------------------------------------------------


@app.command(rich_help_panel=JOBS)
def submit(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="A job.yaml.", show_default=False)
    ] = "",
    count: Annotated[int | None, typer.Option(help="Ranks, for a command.")] = None,
    name: Annotated[str, typer.Option(help="Name of the job, for a command.")] = "",
    cpus: Annotated[float | None, typer.Option(help="CPU cores per rank, for a command.")] = None,
    memory: Annotated[str, typer.Option(help="Per rank, such as 4GiB, for a command.")] = "",
    env: Annotated[
        list[str] | None,
        typer.Option(help="K=V, or K to pass on this shell's; for a command. Repeatable."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the job until it ends.")] = False,
    key: Annotated[str, typer.Option(help="The same key gives the same job: safe to repeat.")] = "",
    as_json: Json = False,
) -> int:
    """Hand in a job: a FILE, or any command after --.

    irongrid submit job.yaml, or: irongrid submit --count 2 -- python train.py
    """
    from irongrid.cli.submit import CommandOptions, submit

    return submit(
        _home(),
        file,
        CommandOptions(
            argv=ctx.obj, count=count, name=name, cpus=cpus, memory=memory, env=tuple(env or ())
        ),
        wait=wait,
        key=key,
        as_json=as_json,
    )


@app.command(rich_help_panel=JOBS)
def ps(
    everything: Annotated[bool, typer.Option("--all", help="Ended jobs too.")] = False,
    state: Annotated[str, typer.Option(help="Only jobs in this state.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many jobs.")] = 50,
    as_json: Json = False,
) -> int:
    """List jobs, newest first."""
    from irongrid.cli.ps import ps

    return ps(_home(), everything=everything, state=state, limit=limit, as_json=as_json)


@app.command(rich_help_panel=JOBS)
def show(job: Job, as_json: Json = False) -> int:
    """Everything about a job: progress, attempts, and where its time went."""
    from irongrid.cli.show import show

    return show(_home(), job, as_json=as_json)


@app.command(rich_help_panel=JOBS)
def why(job: Job, as_json: Json = False) -> int:
    """Why a job is where it is, and what would change that."""
    from irongrid.cli.why import why

    return why(_home(), job, as_json=as_json)


@app.command(rich_help_panel=JOBS)
def logs(
    job: Job,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
    rank: Annotated[int, typer.Option(min=0, help="Whose output.")] = 0,
    attempt: Annotated[
        int | None, typer.Option(min=1, help="Which attempt; default is the newest.")
    ] = None,
    tail: Annotated[int | None, typer.Option(min=1, help="Only the last lines.")] = None,
    as_json: Json = False,
) -> int:
    """Print what a rank has written. Ctrl-C ends the watching, never the job."""
    from irongrid.cli.logs import logs

    return logs(_home(), job, follow=follow, rank=rank, attempt=attempt, tail=tail, as_json=as_json)


@app.command(rich_help_panel=JOBS)
def events(
    job: Annotated[
        str,
        typer.Argument(
            metavar="[JOB]",
            help="Only this job's.",
            autocompletion=_complete_job,
            show_default=False,
        ),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only events above this number.")] = 0,
    export: Annotated[
        str, typer.Option(metavar="FILE", help="Write them as NDJSON to a file, or - for stdout.")
    ] = "",
    fill: Annotated[
        str,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Fill the empty store of this home (or of IRONGRID_STORE) with an exported log.",
        ),
    ] = "",
    as_json: Json = False,
) -> int:
    """Print the log of facts. Ctrl-C ends the watching only."""
    from irongrid.cli.events import events, fill_store

    if fill:
        return fill_store(_home(), os.environ.get("IRONGRID_STORE", ""), fill, as_json=as_json)
    return events(_home(), job, follow=follow, after=after, export=export, as_json=as_json)


@app.command(rich_help_panel=JOBS)
def cancel(jobs: Jobs, as_json: Json = False) -> int:
    """End jobs for good."""
    from irongrid.cli.act import act

    return act(_home(), "cancel", jobs, as_json=as_json)


@app.command(rich_help_panel=JOBS)
def pause(jobs: Jobs, as_json: Json = False) -> int:
    """Let jobs save and stop; resume goes on from there."""
    from irongrid.cli.act import act

    return act(_home(), "pause", jobs, as_json=as_json)


@app.command(rich_help_panel=JOBS)
def resume(jobs: Jobs, as_json: Json = False) -> int:
    """Put paused jobs back in the queue."""
    from irongrid.cli.act import act

    return act(_home(), "resume", jobs, as_json=as_json)


# ---- first steps and help ---------------------------------------------------------------------


@app.command(rich_help_panel=MORE)
def demo(as_json: Json = False) -> int:
    """Train a small model, kill a rank, watch it recover: about half a minute."""
    from irongrid.cli.demo import demo

    return demo(as_json=as_json)


@app.command(rich_help_panel=MORE)
def doctor(as_json: Json = False) -> int:
    """Check this machine and say what to do."""
    from irongrid.cli.doctor import doctor

    return doctor(_home(), as_json=as_json)


@app.command(rich_help_panel=MORE)
def schema(
    what: Annotated[str, typer.Argument(metavar="[job]", help="job, fleet or scenario.")] = "job",
    as_json: Json = False,
) -> int:
    """Print the JSON Schema of a file format, for editors and programs."""
    from irongrid.cli.schema import schema

    return schema(what, as_json=as_json)


app.add_typer(twin, name="twin", rich_help_panel=MORE)


# ---- from argv to an exit code ----------------------------------------------------------------


def _home() -> Home:
    return Home.of(os.environ)


def run(argv: Sequence[str]) -> int:
    """Run one command line; its exit code. Errors are said here and nowhere else."""
    head, command = split_command(argv)
    as_json = "--json" in head
    try:
        result = app(args=head, prog_name="irongrid", standalone_mode=False, obj=command)
        return int(result or 0)
    except typer.TyperException as error:
        return _say(explain_usage(error), as_json=as_json)
    except IrongridError as error:
        return _say(shown(error), as_json=as_json)
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):
            return 0  # the reader has seen enough, as in `irongrid ps | head`
        raise
    except Exception as error:
        from irongrid.cli.crash import record

        return _say(record(error, _home()), as_json=as_json)


def _say(error: Shown, *, as_json: bool) -> int:
    from irongrid.cli.screen import Screen

    screen = Screen(as_json=as_json)
    for line in error.lines():
        screen.note(line)
    screen.answer(error.as_json())
    return error.exit_code


def main() -> None:
    """The entry point of the `irongrid` command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
