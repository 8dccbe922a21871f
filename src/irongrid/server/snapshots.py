"""Starts the child process that makes snapshots, so that the state thread never pauses for one."""

import os
import subprocess
import sys
import threading

from irongrid.server.journal import Journal
from irongrid.server.snapshotter import TARGET_VARIABLE


class Snapshots:
    """Asks for a snapshot every so many events; one child at a time."""

    def __init__(self, target: str, every: int, journal: Journal) -> None:
        self._target = target
        self._every = every
        self._journal = journal
        self._next_seq = every
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def began_at(self, seq: int) -> None:
        """The log ended at `seq` when the server started."""
        self._next_seq = seq + self._every

    def saw(self, seq: int) -> None:
        """The log ends at `seq` now."""
        if seq < self._next_seq:
            return
        with self._lock:
            if self._child is None or self._child.poll() is not None:
                self._next_seq = seq + self._every
                self._child = self._start()

    def stop(self) -> None:
        """End a child that is at work: an unfinished snapshot is invisible."""
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.kill()
            if self._child is not None:
                self._child.wait()

    def _start(self) -> subprocess.Popen[bytes] | None:
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "irongrid.server.snapshotter"],
                env={**os.environ, TARGET_VARIABLE: self._target},
                stdin=subprocess.DEVNULL,
            )
        except OSError as problem:
            # The log alone is enough; the next restart only takes longer.
            self._journal.warning("no_snapshot", problem=str(problem))
            return None
