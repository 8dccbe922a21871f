"""A real server to kill, and jobs that notice when they are launched twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from irongrid.client.api import Client
from irongrid.client.home import Home
from irongrid.control.apply import apply
from irongrid.control.invariants import violations
from irongrid.control.state import State
from irongrid.errors import IrongridError
from irongrid.store import open_reader
from irongrid.telemetry import procfs

START_S = 30.0
# A place is taken with mkdir, which only one process can do: `once` for a rank of one generation,
# `live` for a rank of the job whatever its epoch. Who finds it taken was launched twice.
_JOB = """
mkdir "$MARKS/once/$IRONGRID_ATTEMPT.$RANK.$TORCHELASTIC_RESTART_COUNT" || touch "$MARKS/double/o$$"
mkdir "$MARKS/live/$IRONGRID_JOB.$RANK" || touch "$MARKS/double/l$$"
trap 'rmdir "$MARKS/live/$IRONGRID_JOB.$RANK"; exit $CODE' EXIT TERM
sleep 0.2
"""


class Victim:
    """A server on a home folder of its own, started again after each kill."""

    def __init__(self, folder: Path, nodes: str = "2x4") -> None:
        self.home = Home(folder / "home")
        self.marks = folder / "marks"
        self.nodes = nodes
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("once", "live", "double"):
            (self.marks / name).mkdir(parents=True)

    def start(self, under: Sequence[str] = ()) -> float:
        """Start, wait until it answers, and return how long that took, in seconds.

        Args:
            under: a command that runs the server, such as strace; it may kill it at any time.
        """
        began = time.monotonic()
        argv = [*under, sys.executable, "-m", "irongrid.cli.main", "up", "--nodes", self.nodes]
        with (self.marks / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                env={**os.environ, "IRONGRID_HOME": str(self.home.path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # A killed server leaves its last address behind.
        (self.home.path / "address").unlink(missing_ok=True)
        while time.monotonic() - began < START_S and self.process.poll() is None:
            try:
                with Client.from_home(self.home) as client:
                    if client.healthy():
                        break
            except IrongridError:
                pass  # It is not there yet.
            time.sleep(0.02)
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, now."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def job(self, *, ranks: int = 1, code: int = 0) -> dict[str, object]:
        """A job that marks its places and ends with `code` after 0.2 s."""
        return {
            "name": "victim",
            "run": _JOB,
            "workdir": str(self.marks),
            "env": {"MARKS": str(self.marks), "CODE": str(code)},
            "resources": {"count": ranks},
        }

    def double_launches(self) -> int:
        """Ranks that found their place taken."""
        return len(list((self.marks / "double").iterdir()))

    def orphans(self) -> int:
        """Processes of this home's attempts that are still there."""
        marks = str(self.marks).encode()
        alive = {pid for pids in procfs.marked().values() for pid in pids}
        return sum(marks in _environment(pid) for pid in alive)

    def invariant_breaks(self, checks: int = 300) -> list[str]:
        """Replay the log and check every invariant at that many points, and at the end."""
        state = State()
        broken: list[str] = []
        reader = open_reader(self.home.path / "irongrid.db")
        every = max(reader.head_seq() // checks, 1)
        for recorded in reader.read():
            apply(state, recorded)
            if recorded.seq % every == 0:
                broken += violations(state)
        reader.close()
        return broken + violations(state)


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""  # It has just ended.
