"""What a trace says of itself: its span, its load, and how large the cluster must have been."""

from math import ceil
from typing import Any

import numpy as np

from irongrid.domain.ids import NodeId
from irongrid.twin.fleets import DEVICES_PER_NODE
from irongrid.twin.own.columns import COLUMNS
from irongrid.twin.own.importing import Imported
from irongrid.twin.recorder import Array, Bins, Seen
from irongrid.units import NS_PER_S


def figures(trace: Imported) -> dict[str, Any]:
    """Figures over the jobs that can be replayed; None where the file does not say enough."""
    rows = trace.rows
    submit_s = np.array([row.submit_s for row in rows])
    duration_s = np.array([row.duration_s for row in rows])
    devices = np.array([row.devices for row in rows])
    span_s = float(submit_s[-1])
    device_s = float((duration_s * devices).sum())
    busiest = _busiest(trace)
    mean = device_s / span_s if span_s else 0.0
    # Fewer would never have come to the end of such a queue.
    needed = max(int(devices.max()), busiest or ceil(mean))
    waits = [max(0.0, row.start_s - row.submit_s) for row in rows if row.start_s is not None]
    return {
        "span_days": round(span_s / 86400, 3),
        "device_hours": round(device_s / 3600, 3),
        "largest_devices": int(devices.max()),
        "mean_devices": round(mean, 1) if span_s else None,
        "busiest_devices": busiest,
        "nodes_of_8": -(-needed // DEVICES_PER_NODE),
        "mean_duration_s": round(float(duration_s.mean()), 3),
        "median_duration_s": round(float(np.median(duration_s)), 3),
        "recorded_mean_wait_s": round(float(np.mean(waits)), 3) if waits else None,
        "users": len({row.user for row in rows if row.user}),
        "teams": len({row.team for row in rows if row.team}),
        "device_types": sorted({row.device_type for row in rows if row.device_type}),
    }


def _busiest(trace: Imported) -> int | None:
    """The most devices that were held at one moment, as far as starts are recorded."""
    known = [row for row in trace.rows if row.start_s is not None]
    if not known:
        return None
    start_s = np.array([row.start_s for row in known], dtype=float)
    end_s = start_s + np.array([row.duration_s for row in known])
    devices = np.array([row.devices for row in known])
    at_s = np.concatenate([end_s, start_s])
    change = np.concatenate([-devices, devices])
    # At one moment those that end make way for those that begin.
    order = np.argsort(at_s, kind="stable")
    return int(np.cumsum(change[order]).max(initial=0))


def over_time(trace: Imported) -> Seen | None:
    """What was held and what waited in the record; None where it does not say when jobs began."""
    known = [row for row in trace.rows if row.start_s is not None]
    if not known:
        return None
    bins, end_ns = Bins(2), 1
    for row in known:
        assert row.start_s is not None, "known"
        submit_ns, start_ns = (round(at_s * NS_PER_S) for at_s in (row.submit_s, row.start_s))
        last_ns = start_ns + round(row.duration_s * NS_PER_S)
        bins.add(0, max(start_ns, 0), max(last_ns, 0), row.devices)
        bins.add(1, submit_ns, max(start_ns, submit_ns), row.devices)
        end_ns = max(end_ns, last_ns)
    means = bins.means(end_ns)
    busiest = _busiest(trace) or 0
    return Seen(
        node_ids=(NodeId("all"),),
        node_devices=(busiest,),
        nodes_per_row=1,
        held=means[:1],
        waiting=means[1],
        bin_s=bins.width_ns / NS_PER_S,
        end_s=end_ns / NS_PER_S,
        held_device_s=means[:1].sum(axis=1),
        job_device_s={},
        stretches=None,
    )


def by_size(trace: Imported) -> list[tuple[int, int, float, float]]:
    """Devices of a job, how many such jobs there are, their device-hours and median duration."""
    devices = np.array([row.devices for row in trace.rows])
    duration_s = np.array([row.duration_s for row in trace.rows])
    return [
        (
            int(size),
            int(mine.sum()),
            float(size * duration_s[mine].sum() / 3600),
            float(np.median(duration_s[mine])),
        )
        for size in np.unique(devices)
        for mine in [devices == size]
    ]


def lengths_s(trace: Imported) -> tuple[Array, Array]:
    """Durations, and the waits that were seen."""
    waits = [max(0.0, row.start_s - row.submit_s) for row in trace.rows if row.start_s is not None]
    return np.array([row.duration_s for row in trace.rows]), np.array(waits)


def report(trace: Imported) -> dict[str, Any]:
    """The object of `--json`: what was read, what was left out, and what cannot be said."""
    findings = [
        {
            "column": item.column,
            "problem": item.problem,
            "fix": item.fix,
            "count": item.count,
            "lines": list(item.lines),
            "example": item.example,
            "left_out": item.left_out,
        }
        for item in trace.findings
    ]
    typed = any(row.device_type for row in trace.rows)
    return {
        "file": trace.source,
        "rows": trace.lines,
        "jobs": len(trace.rows),
        "left_out": sum(item.count for item in trace.findings if item.left_out),
        "columns": dict(trace.headers),
        "ignored_columns": list(trace.ignored),
        "absent": {
            column.name: column.without
            for column in COLUMNS
            if column.without
            and column.name not in trace.headers
            and not (column.name == "device_type" and typed)
        },
        "findings": findings,
        **figures(trace),
    }
