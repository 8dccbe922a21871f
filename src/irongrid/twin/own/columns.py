"""The columns of a trace: what each means, what other tools call it, and which must be there."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        words: other names under which files have it, the likeliest first; lower case.
        without: what cannot be said where the file does not have it.
    """

    name: str
    meaning: str
    words: tuple[str, ...]
    without: str = ""


# Names of Slurm's sacct and of the published traces are among the words.
COLUMNS = (
    Column(
        "job_id",
        "any text that names the job",
        ("jobid", "id", "job", "jobidraw", "job_name"),
        "jobs are named after their lines",
    ),
    Column(
        "submit_time",
        "when it was handed in: ISO 8601, or seconds from any moment",
        ("submit", "submit_s", "submitted", "submitted_at", "submission_time", "arrival_time",
         "arrival", "create_time", "creation_time"),
    ),
    Column(
        "start_time",
        "when it began to run",
        ("start", "start_s", "started", "started_at"),
        "the waits that were seen, and how much was held at the busiest moment, are unknown",
    ),
    Column("end_time", "when it ended", ("end", "end_s", "ended", "ended_at", "finish_time")),
    Column(
        "duration_s",
        "how long it ran: seconds, or HH:MM:SS",
        ("elapsedraw", "duration", "elapsed", "runtime", "run_time", "runtime_s", "run_s"),
    ),
    Column(
        "devices",
        "how many accelerators it held at once: a whole number",
        ("gpus", "gpu", "num_gpus", "gpu_num", "ngpus", "n_gpus", "gpu_count", "num_gpu",
         "accelerators", "num_replicas", "alloctres", "reqtres"),
    ),
    Column(
        "device_type",
        "their type, such as H100",
        ("gpu_type", "gpu_model", "accelerator", "accelerator_type"),
        "every job may run on any device",
    ),
    Column(
        "user",
        "who handed it in",
        ("username", "user_name", "user_id", "owner"),
        "forecasts learn by team and size instead of by user and size",
    ),
    Column(
        "team",
        "whose share it used",
        ("account", "project", "group", "vc", "queue", "partition"),
        "fairness is shown by user",
    ),
    Column(
        "state",
        "how it ended: completed, failed, cancelled, ...",
        ("status", "job_state", "end_state"),
        "jobs that still ran when the file was written are not told apart",
    ),
    Column(
        "priority",
        "kept, but no policy acts on it yet",
        ("prio", "qos"),
        "all jobs are equal",
    ),
)  # fmt: skip
NAMES = tuple(column.name for column in COLUMNS)
# What a written workload has: seconds from the first submit, in place of moments.
WRITTEN = ("job_id", "submit_s", "start_s", "duration_s", "devices", "device_type", "user", "team",
           "state", "priority")  # fmt: skip


def plain(header: str) -> str:
    """A header without what people vary: case, spaces and dashes."""
    return re.sub(r"[\s.-]+", "_", header.strip().strip("\ufeff").lower())


def matched(headers: Sequence[str]) -> dict[str, int]:
    """Which column stands at which place of a header; a column's own name wins over other words."""
    places = {plain(header): at for at, header in reversed([*enumerate(headers)])}
    found: dict[str, int] = {}
    for column in COLUMNS:
        for word in (column.name, *column.words):
            if word in places:
                found[column.name] = places[word]
                break
    return found


def missing(found: Mapping[str, int]) -> list[tuple[str, str]]:
    """Columns without which nothing can be replayed, and how to mend it."""
    out = []
    for name in ("submit_time", "devices"):
        if name not in found:
            out.append((name, _fix(name)))
    if "duration_s" not in found and not {"start_time", "end_time"} <= set(found):
        out.append(("duration_s", f"{_fix('duration_s')}, or both start_time and end_time"))
    return out


def _fix(name: str) -> str:
    column = next(column for column in COLUMNS if column.name == name)
    return f"Add `{name}` ({column.meaning}); {', '.join(column.words[:4])} are read as well"
