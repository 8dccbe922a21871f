"""Runs as text: figures, and who got what."""

from typing import Any

from rich.table import Table

from irongrid.cli.screen import Screen
from irongrid.cli.twin.figures import FIGURES
from irongrid.twin.runs import Run
from irongrid.units import format_duration

TEAMS_SHOWN = 8


def show(screen: Screen, run: Run) -> None:
    """A run's figures, and its largest teams."""
    figures = run.figures
    nodes, policy = figures["rules"]["nodes"], figures["policy"]
    screen.say(f"{run.name}: policy {policy}, {nodes:,} nodes")
    for figure in FIGURES:
        if figure.of(figures) is not None:
            screen.say(f"  {figure.name:44} {figure.text(figures):>14}")
    seen_s = figures["rules"].get("recorded_avg_queue_s")
    if seen_s is not None:
        screen.say(f"  {'wait in the record, mean':44} {format_duration(seen_s):>14}")
    if len(figures["teams"]) > 1:
        screen.say()
        screen.say(teams_table(figures["teams"]))
    cost = figures["decision_ms"]
    screen.say(
        f"{figures['events']:,} events in {figures['wall_s']:.1f} s; a round took "
        f"{cost['mean']:.2f} ms on average, {cost['max']:.0f} ms at most"
    )


def teams_table(teams: list[dict[str, Any]]) -> Table:
    """What the largest teams got."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("team", "jobs", "device-hours", "mean JCT", "mean wait", "slowdown"):
        table.add_column(name, justify="left" if name == "team" else "right", no_wrap=True)
    for row in teams[:TEAMS_SHOWN]:
        table.add_row(
            row["team"][:40],
            f"{row['jobs']:,}",
            f"{row['device_hours']:,.0f}",
            format_duration(row["avg_jct_s"]),
            format_duration(row["avg_queue_s"]),
            f"{row['mean_slowdown']:,.1f}",
        )
    if len(teams) > TEAMS_SHOWN:
        table.add_row(f"... and {len(teams) - TEAMS_SHOWN} more")
    return table
