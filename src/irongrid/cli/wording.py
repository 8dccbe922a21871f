"""Values as short text for people. Pure: the present moment is an argument."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from irongrid.domain.messages import EventRow, JobRow, TimeAccount
from irongrid.units import NS_PER_S, format_duration

BAR_CELLS = 36

# Parts of a job's account of time, in the order of its life, in words.
PARTS = {
    "queued_s": "queued",
    "starting_s": "starting",
    "running_s": "running",
    "checkpoint_stall_s": "checkpoint stall",
    "lost_s": "lost and repeated",
    "recovering_s": "recovering",
    "stopping_s": "stopping",
    "paused_s": "paused",
}


def now_ns() -> int:
    """The moment of looking, for ages only."""
    return time.time_ns()


def ago(at_ns: int, now_at_ns: int) -> str:
    """`3m 20s ago`; an em dash for never."""
    if at_ns <= 0:
        return "—"
    return f"{format_duration(max(0.0, (now_at_ns - at_ns) / NS_PER_S))} ago"


def clock_time(at_ns: int) -> str:
    """Local time of day with milliseconds: `14:03:07.123`."""
    moment = datetime.fromtimestamp(at_ns / NS_PER_S, UTC).astimezone()
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def progress(row: JobRow) -> str:
    """`120/2000`, `120`, or nothing before the first step."""
    if row.steps_total:
        return f"{row.step}/{row.steps_total}"
    return str(row.step) if row.step else ""


def where_or_why(row: JobRow) -> str:
    """Nodes of a job that has some, else the word for why it waits."""
    if row.nodes:
        return ",".join(row.nodes)
    return row.wait_code.replace("_", " ")


def cells(parts: Sequence[float], total_cells: int) -> list[int]:
    """Whole cells for each part, in proportion, adding up to `total_cells` (largest remainder).

    A part that is not zero gets at least one cell, taken from the largest.
    """
    whole = sum(parts)
    if whole <= 0:
        return [0] * len(parts)
    exact = [total_cells * part / whole for part in parts]
    given = [int(share) for share in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: given[i] - exact[i])
    for index in by_remainder[: total_cells - sum(given)]:
        given[index] += 1
    for index, part in enumerate(parts):
        if part > 0 and given[index] == 0:
            given[given.index(max(given))] -= 1
            given[index] = 1
    return given


def account_lines(account: TimeAccount) -> list[tuple[str, str, str, str]]:
    """Part, time, share and bar for each part that is not zero; the bars add up to one full bar."""
    parts = [(text, getattr(account, name)) for name, text in PARTS.items()]
    bars = cells([duration_s for _, duration_s in parts], BAR_CELLS)
    lines = []
    start = 0
    for (text, duration_s), width in zip(parts, bars, strict=True):
        if duration_s > 0:
            share = f"{100 * duration_s / account.wall_s:.1f}%" if account.wall_s else ""
            bar = " " * start + "█" * width
            lines.append((text, format_duration(duration_s), share, bar))
        start += width
    return lines


def event_line(row: EventRow) -> str:
    """One line of the log: number, time, job, what happened."""
    job = row.job_id or "server"
    return f"{row.seq:>6}  {clock_time(row.at_ns)}  {job:<8} {row.kind:<21} {summary(row)}".rstrip()


def summary(row: EventRow) -> str:
    """What is worth knowing of an event, in one line."""
    body = row.body
    if row.kind == "decided":
        return "; ".join(_action(action) for action in body["decision"]["actions"])
    if row.kind == "job_submitted":
        spec = body["spec"]
        return f"{spec['name']} ({spec['task']['kind']})"
    if row.kind == "gang_failed":
        failure = body["failure"]
        return f"generation={body['generation']} {failure['code']}: {failure['message']}"
    if row.kind == "server_started":
        nodes = ", ".join(f"{node['id']} ({node['devices']})" for node in body["nodes"])
        return f"epoch={body['server_epoch']} nodes: {nodes}"
    return " ".join(
        f"{name}={value}"
        for name, value in body.items()
        if name not in ("job", "kind", "n", "version") and _is_short(value)
    )


def _action(action: Mapping[str, Any]) -> str:
    text = f"{action.get('kind', '?')} {action.get('job', '')}"
    placement = action.get("placement")
    if placement:
        text += " on " + ",".join(share["node"] for share in placement["shares"])
    why = action.get("reason") or action.get("code")
    return f"{text}: {why}" if why else text


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float | bool) or (isinstance(value, str) and value != "")
