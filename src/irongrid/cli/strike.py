"""Killing one training rank at a given step, as a fault from outside would."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ZYGOTE = "irongrid.train.zygote"
LOOK_EVERY_S = 0.02


class Strike:
    """Watches a job's files beside the one who watches the job, and kills a rank, once.

    It looks at files and not at the API because a step may take a few milliseconds, and what the
    API tells of steps is up to a second old.

    Attributes:
        pid: the killed rank; 0 while none is.
        step: the last step that the job had done by then.
    """

    def __init__(
        self, job_dir: Path, at_step: int, *, said: Callable[[int, int, int], None]
    ) -> None:
        """Strike once `at_step` is done and a checkpoint is saved.

        Args:
            said: called with pid, step and saved step after the blow.
        """
        self.pid, self.step, self.at_ns = 0, 0, 0
        self._job_dir = job_dir
        self._at_step = at_step
        self._said = said
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="strike", daemon=True)

    def __enter__(self) -> "Strike":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self.pid and not self._over.wait(LOOK_EVERY_S):
            step, saved_step = last_step(self._job_dir), newest_checkpoint(self._job_dir)
            if step < self._at_step or not saved_step:
                continue
            ranks = training_ranks(self._job_dir)
            if len(ranks) < 2:
                continue
            self.at_ns = time.time_ns()
            try:
                os.kill(ranks[-1], signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself since we looked
            self.pid, self.step = ranks[-1], step
            self._said(self.pid, step, saved_step)


def metric_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a job's metrics file, without one that is being written."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def last_step(job_dir: Path) -> int:
    """The last step that is in the job's metrics."""
    lines = metric_lines(job_dir / "metrics.jsonl")
    return int(lines[-1]["step"]) if lines else 0


def newest_checkpoint(job_dir: Path) -> int:
    """The highest step with a manifest; 0 where there is none."""
    manifests = job_dir.glob("checkpoints/epoch-*/step-*/manifest.json")
    return max((int(path.parent.name.partition("-")[2]) for path in manifests), default=0)


def training_ranks(job_dir: Path) -> list[int]:
    """Pids of a train job's ranks on this machine, in the order of their start.

    Ranks are forked from a warm parent, the zygote, and so share its command line and its
    environment as the kernel shows it. The zygote's first child is the store where ranks meet.
    """
    mark = f"IRONGRID_JOB_DIR={job_dir}".encode()
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and _is_of(folder, mark):
            parents[int(folder.name)] = _parent(folder)
    children = [pid for pid, parent in parents.items() if parent in parents]
    return sorted(children, key=_start_ticks)[1:]


def _is_of(folder: Path, mark: bytes) -> bool:
    try:
        command = (folder / "cmdline").read_bytes().split(b"\0")
        environment = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it has ended meanwhile, or is another user's
    return _ZYGOTE.encode() in command and mark in environment


def _parent(folder: Path) -> int:
    return int(_stat(folder)[1])


def _start_ticks(pid: int) -> int:
    return int(_stat(Path(f"/proc/{pid}"))[19])


def _stat(folder: Path) -> list[str]:
    """Fields of /proc/PID/stat after the name, which may hold spaces: state, ppid, ..."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
