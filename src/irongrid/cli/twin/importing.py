"""`irongrid twin import`: a trace of one's own, checked, and made a workload."""

from pathlib import Path
from typing import Any

from irongrid.cli.screen import Screen
from irongrid.cli.twin.import_page import import_page
from irongrid.cli.twin.progress import counted
from irongrid.cli.twin.run import write_page
from irongrid.twin.own.figures import report
from irongrid.twin.own.importing import Imported, load
from irongrid.twin.own.writing import write
from irongrid.units import format_duration


def import_trace(file: Path, to: Path | None, *, html: str, as_json: bool) -> int:
    """Read it, say what was found, and write the workload and the page where that is wanted.

    Raises:
        SpecError: it cannot be read, lacks a column, or holds no job that can be replayed; or a
            file cannot be written.
    """
    screen = Screen(as_json=as_json)
    trace = load(file, counted(screen, str(file)))
    found = report(trace)
    if to is not None:
        write(trace, to)
    _say(screen, trace, found)
    _say_next(screen, file, to, found)
    write_page(screen, html, lambda: import_page(trace, found))
    screen.answer({**found, "written": None if to is None else str(to)})
    return 0


def _say(screen: Screen, trace: Imported, found: dict[str, Any]) -> None:
    left = f"; {found['left_out']:,} left out" if found["left_out"] else ""
    screen.say(f"{trace.source}: {found['rows']:,} rows, {found['jobs']:,} jobs{left}")
    read = ", ".join(
        name if header == name else f"{name} (`{header}`)" for name, header in trace.headers.items()
    )
    screen.say(f"  read     {read}")
    if trace.ignored:
        screen.say(f"  ignored  {', '.join(trace.ignored)}")
    for name, without in found["absent"].items():
        screen.say(f"  no column {name}: {without}")
    for item in trace.findings:
        where = f"{item.column} " if item.column else "a row "
        lines = ", ".join(map(str, item.lines)) + (", ..." if item.count > len(item.lines) else "")
        example = f" ({item.example!r})" if item.example else ""
        kept = "left out" if item.left_out else "kept"
        line = "line" if item.count == 1 else "lines"
        screen.say(f"  {item.count:,} {kept}: {where}{item.problem}{example}, {line} {lines}")
        screen.say(f"      -> {item.fix}")
    _say_figures(screen, found)


def _say_figures(screen: Screen, found: dict[str, Any]) -> None:
    screen.say(
        f"  {found['span_days']:,.1f} days from the first submit to the last, "
        f"{found['device_hours']:,.0f} device-hours, jobs of up to {found['largest_devices']:,} "
        f"devices, median run {format_duration(found['median_duration_s'])}"
    )
    nodes = f"{found['nodes_of_8']:,} nodes of 8"
    if found["busiest_devices"] is not None:
        wait = format_duration(found["recorded_mean_wait_s"])
        held = f"at the busiest moment {found['busiest_devices']:,} devices were held"
        screen.say(f"  {held}, so there were at least {nodes}; the mean wait was {wait}")
    elif found["mean_devices"] is not None:
        held = f"{found['mean_devices']:,.0f} devices were held on average"
        screen.say(f"  {held}; with less than {nodes} the queue would only grow")


def _say_next(screen: Screen, file: Path, to: Path | None, found: dict[str, Any]) -> None:
    screen.say()
    if to is None:
        screen.say(f"write the workload:  irongrid twin import {file} --to jobs.csv")
        return
    screen.say(f"{found['jobs']:,} jobs are in {to}; replay them:")
    screen.say(
        f"  irongrid twin replay --dataset csv --workload {to} --policy fifo-backfill "
        f"--nodes {found['nodes_of_8']}"
    )
