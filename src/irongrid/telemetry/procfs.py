"""The process table: who is alive, who descends from whom, who belongs to an attempt.

Every process of an attempt inherits three environment variables, and the kernel shows each
process's environment. That outlives a killed worker and a restarted server, so it is the proof that
an attempt has ended. The job's folder is part of the mark because job ids repeat between homes.
"""

import os
from dataclasses import dataclass

Mark = tuple[str, str, str]
MARK_VARIABLES = ("IRONGRID_JOB_DIR", "IRONGRID_ATTEMPT", "IRONGRID_NODE")

_DEAD_STATES = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of the process table.

    Attributes:
        state: the kernel's letter: R, S, D, T (stopped), Z (dead, not yet reaped) ...
        start_ticks: clock ticks from boot to the process's start. With the pid it names one process
            for ever, as pids are used again.
    """

    pid: int
    state: str
    parent: int
    start_ticks: int


def stat(pid: int) -> Stat | None:
    """What the kernel says of a process; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in brackets and may hold spaces and brackets; what follows the last is plain.
    fields = text[text.rindex(b")") + 2 :].split()
    return Stat(pid, fields[0].decode(), int(fields[1]), int(fields[19]))


def start_ticks(pid: int) -> int | None:
    """When a living process started; None if it is gone or only waits to be reaped."""
    found = stat(pid)
    return None if found is None or found.state in _DEAD_STATES else found.start_ticks


def marks_of(environment: os._Environ[str] | dict[str, str]) -> Mark:
    """The mark in a process's own environment; empty words where there is none."""
    job_dir, attempt, node = (environment.get(name, "") for name in MARK_VARIABLES)
    return job_dir, attempt, node


def marked() -> dict[Mark, set[int]]:
    """Living processes by the attempt and node that their environment names. One pass over /proc.

    Processes of other users, whose environment we may not read, are none that we have started.
    """
    found: dict[Mark, set[int]] = {}
    for pid in _pids():
        mark = _mark(pid)
        if mark is not None and start_ticks(pid) is not None:
            found.setdefault(mark, set()).add(pid)
    return found


def descendants(root: int) -> set[int]:
    """Living processes below `root`; below a subreaper also those that lost their parent."""
    children: dict[int, list[Stat]] = {}
    for pid in _pids():
        found = stat(pid)
        if found is not None:
            children.setdefault(found.parent, []).append(found)
    below: set[int] = set()
    frontier = [root]
    while frontier:
        for child in children.get(frontier.pop(), ()):
            frontier.append(child.pid)
            if child.state not in _DEAD_STATES:
                below.add(child.pid)
    return below


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _mark(pid: int) -> Mark | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if b"IRONGRID_ATTEMPT=" not in text:
        return None
    pairs = (entry.partition(b"=") for entry in text.split(b"\0"))
    environment = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    return marks_of(environment)
