"""Reader of a person's own trace, as `irongrid twin import` writes it."""

from collections.abc import Mapping
from pathlib import Path

from irongrid.domain.device import Node
from irongrid.errors import Problem, SpecError
from irongrid.twin.fleets import DEVICES_PER_NODE, pool
from irongrid.twin.truth.tables import bad, number, rows
from irongrid.twin.truth.traces import Workload
from irongrid.twin.truth.world import TraceJob

NEEDED = ("job_id", "submit_s", "devices", "duration_s")


def own(path: Path) -> Workload:
    """Rigid jobs that run as long as they did, wherever they run.

    Raises:
        SpecError: the file is absent or broken, or was not written by `irongrid twin import`.
    """
    jobs: list[TraceJob] = []
    waits_s: list[float] = []
    try:
        for line, row in rows(path, NEEDED):
            job = _job(path, line, row)
            jobs.append(job)
            if row.get("start_s"):
                waits_s.append(max(0.0, number(path, line, row, "start_s") - job.submit_s))
    except SpecError as error:
        raise _with_hint(error, path) from error
    _refuse_doubles(path, jobs)
    jobs.sort(key=lambda job: job.submit_s)
    return Workload(
        jobs=tuple(jobs),
        history=(),
        nodes=0,
        rules={
            "durations": "as recorded, on any device",
            "restart_s": {"1": 7, "2-8": 30, "more": 60},
            "first_start_s": 0,
            "recorded_avg_queue_s": round(sum(waits_s) / len(waits_s), 3) if waits_s else None,
        },
        fleet=lambda nodes: _pool(path, jobs, nodes),
    )


def _pool(path: Path, jobs: list[TraceJob], nodes: int) -> tuple[Node, ...]:
    types = sorted({job.device_type for job in jobs if job.device_type})
    if len(types) > 1:
        problem = f"its jobs ask for several types of devices: {', '.join(types[:6])}"
        fix = "Use --fleet FILE with a pool of each, or take the column device_type out"
        raise SpecError([Problem(field="--nodes", problem=problem, fix=fix, source=str(path))])
    if nodes:
        return pool(nodes, types[0]) if types else pool(nodes)
    least = -(-max(job.gpus for job in jobs) // DEVICES_PER_NODE)
    fix = f"Use --nodes N (of {DEVICES_PER_NODE} devices, {least} or more), or --fleet FILE"
    problem = "does not say how large the cluster is"
    raise SpecError([Problem(field="--nodes", problem=problem, fix=fix, source=str(path))])


def _job(path: Path, line: int, row: Mapping[str, str]) -> TraceJob:
    devices = number(path, line, row, "devices")
    duration_s = number(path, line, row, "duration_s")
    if devices < 1 or devices != int(devices):
        raise bad(path, line, "devices", f"{devices:g} devices", "Write a whole number above 0")
    if duration_s < 0:
        raise bad(path, line, "duration_s", f"{duration_s:g} s", "Write 0 or more")
    team, user = row.get("team") or "", row.get("user") or ""
    return TraceJob(
        row["job_id"],
        number(path, line, row, "submit_s"),
        user or team or "job",
        int(devices),
        duration_s,
        team=team or user,
        device_type=row.get("device_type") or "",
    )


def _refuse_doubles(path: Path, jobs: list[TraceJob]) -> None:
    seen: set[str] = set()
    for job in jobs:
        if job.key in seen:
            fix = "Let `irongrid twin import` tell them apart"
            raise bad(path, None, "job_id", f"{job.key!r} names two jobs", fix)
        seen.add(job.key)


def _with_hint(error: SpecError, path: Path) -> SpecError:
    """A header that lacks columns is one of a file that was not imported yet."""
    (problem,) = error.problems
    if problem.line != 1:
        return error
    fix = f"Make a workload of it: irongrid twin import {path} --to jobs.csv"
    return bad(path, 1, problem.field, problem.problem, fix)
