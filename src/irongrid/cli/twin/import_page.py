"""`irongrid twin import --html`: a trace as a page, before anything is replayed."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from irongrid.cli.twin.html import page, section, table, tiles
from irongrid.cli.twin.spread_charts import spread
from irongrid.cli.twin.time_charts import over_time
from irongrid.twin.own import figures
from irongrid.twin.own.importing import Imported
from irongrid.twin.shapes import distribution
from irongrid.units import format_duration

_SIZES_SHOWN = 20


def import_page(trace: Imported, found: Mapping[str, Any]) -> str:
    """What the file says, and what was wrong with it."""
    about = f"{found['jobs']:,} jobs of {found['rows']:,} rows; {found['left_out']:,} left out"
    return page(trace.source.rpartition("/")[2], about, _sections(trace, found))


def _sections(trace: Imported, found: Mapping[str, Any]) -> Iterator[str]:
    yield section("In figures", _tiles(found))
    seen = figures.over_time(trace)
    if seen is not None:
        yield section("Held and waited for, as recorded", over_time([seen], "at most"))
    durations, waits = figures.lengths_s(trace)
    charts = [spread([distribution(durations)], "duration")]
    if len(waits):
        charts.append(spread([distribution(waits)], "wait, as recorded"))
    yield section("How long jobs ran", f'<div class="pair">{"".join(charts)}</div>')
    yield section("What they asked for", _sizes(trace))
    yield section("What was wrong or odd", _findings(found))


def _tiles(found: Mapping[str, Any]) -> str:
    wait_s = found["recorded_mean_wait_s"]
    values = [
        (f"{found['span_days']:,.1f}", "days of submits"),
        (f"{found['device_hours']:,.0f}", "device-hours"),
        (f"{found['largest_devices']:,}", "devices at most in a job"),
        (format_duration(found["median_duration_s"]), "median duration"),
    ]
    if found["busiest_devices"] is not None:
        values.append((f"{found['busiest_devices']:,}", "devices at the busiest moment"))
    if wait_s is not None:
        values.append((format_duration(wait_s), "mean wait, as recorded"))
    return tiles(values)


def _sizes(trace: Imported) -> str:
    sizes = figures.by_size(trace)
    rows = [
        [f"{size:,} devices", f"{jobs:,}", f"{hours:,.0f}", format_duration(median_s)]
        for size, jobs, hours, median_s in sorted(sizes, key=lambda row: -row[2])[:_SIZES_SHOWN]
    ]
    left = len(sizes) - len(rows)
    more = f"<p>... and {left} more sizes.</p>" if left else ""
    return table(["", "jobs", "device-hours", "median duration"], rows) + more


def _findings(found: Mapping[str, Any]) -> str:
    out = [
        [
            f"{item['column']} {item['problem']}".strip(),
            f"{item['count']:,}",
            "left out" if item["left_out"] else "kept",
            ", ".join(map(str, item["lines"])),
        ]
        for item in found["findings"]
    ]
    said = table(["", "rows", "", "first lines"], out) if out else "<p>Nothing.</p>"
    for name, without in found["absent"].items():
        said += f"<p>{escape(f'There is no column {name}: {without}.')}</p>"
    return said
