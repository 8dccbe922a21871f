"""`irongrid twin compare`: two scenarios, or one and a change to it, side by side."""

from pathlib import Path
from typing import Any

from rich.table import Table

from irongrid.cli.failures import wrong_input
from irongrid.cli.screen import Screen
from irongrid.cli.twin.differences import differences, sentences
from irongrid.cli.twin.figures import FIGURES
from irongrid.cli.twin.page import compare_page
from irongrid.cli.twin.run import named_by, simulated, write_page
from irongrid.spec import load_scenario
from irongrid.spec.catalog import load_fleet
from irongrid.twin.changes import Change, changed
from irongrid.twin.comparing import compared
from irongrid.twin.runs import Run
from irongrid.twin.trials import Trial, trial_of, verified


def compare(
    first: Path,
    second: Path | None,
    *,
    policy: str,
    nodes: str,
    fleet: str,
    html: str,
    as_json: bool,
) -> int:
    """Run both, and show them side by side.

    Raises:
        SpecError: a file cannot be used, or there is nothing to compare.
        Refused: a job needs more than a fleet has.
    """
    screen = Screen(as_json=as_json)
    change = Change(policy=policy, nodes=nodes, fleet=load_fleet(fleet) if fleet else None)
    if second is None and not change:
        fix = "name a second scenario, or use --policy, --nodes or --fleet"
        raise wrong_input("there is nothing to compare with", fix)
    before = _trial(first)
    after = verified(changed(before if second is None else _trial(second), change))
    runs = simulated(screen, before), simulated(screen, after)
    found = compared(*runs)
    show_both(screen, runs, found)
    write_page(screen, html, lambda: compare_page(runs, found))
    screen.answer(found)
    return 0


def _trial(file: Path) -> Trial:
    loaded = load_scenario(str(file))
    with named_by(loaded):
        return trial_of(loaded.scenario)


def show_both(screen: Screen, runs: tuple[Run, Run], found: dict[str, Any]) -> None:
    """The figures side by side, and what became of the same jobs."""
    first, second = runs
    screen.say(f"A  {first.name}: {_how(first)}")
    screen.say(f"B  {second.name}: {_how(second)}")
    screen.say()
    screen.say(_table(first, second))
    for sentence in sentences(found["paired"]):
        screen.say(sentence)


def _how(run: Run) -> str:
    figures = run.figures
    return f"policy {figures['policy']}, {figures['rules']['nodes']:,} nodes"


def _table(first: Run, second: Run) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for name in ("A", "B", "B - A", "B / A"):
        table.add_column(name, justify="right", no_wrap=True)
    for figure in FIGURES:
        row = differences(figure, first, second)
        if row is not None:
            texts, style = row
            table.add_row(figure.name, *texts, style=style)
    return table
