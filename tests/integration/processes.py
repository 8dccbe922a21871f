"""Whose processes are there: workers, zygotes and ranks of one home, by /proc."""

import contextlib
import os
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from irongrid.telemetry import procfs

SCAN_S = 0.2
# Two processes that are seen together must still be so after this long: one may have been dying.
CONFIRM_S = 0.05


class Role(StrEnum):
    """What a process of an attempt is."""

    WORKER = "worker"
    ZYGOTE = "zygote"
    RANK = "rank"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Process:
    """A living process of an attempt; `start_ticks` tells it from a later one of the same number.

    Attributes:
        attempt: `<job>.<epoch>`.
    """

    pid: int
    start_ticks: int
    role: Role
    job: str
    attempt: str
    node: str

    @property
    def alive(self) -> bool:
        """Whether it is still there."""
        return procfs.start_ticks(self.pid) == self.start_ticks

    @property
    def stands_still(self) -> bool:
        """Whether no thread of it runs any more, nor a system call for one."""
        states = set()
        for task in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # It has ended.
                states.add(task.read_text().rpartition(")")[2].split()[0])
        return states <= set("TtZX")


def processes(home: Path) -> list[Process]:
    """Every living process of this home's attempts, in the order of their start."""
    jobs = f"{home}/jobs/"
    found = []
    for (job_dir, attempt, node), pids in procfs.marked().items():
        if job_dir.startswith(jobs):
            for pid in pids:
                ticks = procfs.start_ticks(pid)
                if ticks is not None:
                    job = job_dir.removeprefix(jobs)
                    found.append(Process(pid, ticks, _role(pid), job, attempt, node))
    return sorted(found, key=lambda process: (process.start_ticks, process.pid))


def _role(pid: int) -> Role:
    """Ranks lead sessions of their own, and so do workers and zygotes, which the command tells.

    A forked rank shows its zygote's command: then it is the parent that tells.
    """
    command = _command(pid)
    if "irongrid.worker" in command:
        return Role.WORKER
    try:
        if os.getsid(pid) != pid:
            return Role.OTHER
    except ProcessLookupError:
        return Role.OTHER
    seen = procfs.stat(pid)
    if "irongrid.train.zygote" in command and seen is not None:
        return Role.ZYGOTE if "irongrid.worker" in _command(seen.parent) else Role.RANK
    return Role.RANK


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


class Census:
    """Counts ranks again and again, so that one which runs twice does not go unseen.

    Attributes:
        doubles: what must never be: ranks of two attempts of a job at once, or too many of one.
    """

    def __init__(self, home: Path, most_ranks: int) -> None:
        self.doubles: list[str] = []
        self._home = home
        self._most_ranks = most_ranks
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="census", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Count no more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(SCAN_S):
            suspects = self._suspects(processes(self._home))
            if suspects and not self._stopping.wait(CONFIRM_S):
                alive = [process for process in suspects if process.alive]
                if self._suspects(alive):
                    self.doubles.append(f"at the same time: {alive}")

    def _suspects(self, found: list[Process]) -> list[Process]:
        by_job: dict[str, list[Process]] = {}
        for process in found:
            if process.role is Role.RANK:
                by_job.setdefault(process.job, []).append(process)
        return [
            rank
            for ranks in by_job.values()
            if len({rank.attempt for rank in ranks}) > 1 or len(ranks) > self._most_ranks
            for rank in ranks
        ]
