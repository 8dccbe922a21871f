"""The local engine: workers are processes of this machine, and the process table is the proof.

A worker is started detached, so it outlives the server; a later server finds it again by what it
wrote into its folder, `jobs/<job>/attempt-<epoch>/<node>/worker.json`. Whoever writes that file
first has the place for good, so of two workers launched for it, one at most ever runs ranks.
"""

import contextlib
import errno
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from irongrid.domain.codec import to_json
from irongrid.domain.device import Node, Placement
from irongrid.domain.ids import JobId, NodeId, attempt_id
from irongrid.domain.messages import LaunchOrder
from irongrid.errors import EngineRefused, EngineUnreachable
from irongrid.ports import Capabilities, Observed, WorkerPhase

Place = tuple[JobId, int, NodeId]
Mark = tuple[str, str, str]

# Between fork and exec a worker of an earlier server is in the table, but not yet marked.
_EXEC_S = 1.0
_STOP_S = 5.0
_PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)
_POLL_S = 0.005
# Variables of ours that mean something to workers and ranks; all others stay with the server.
_PASSED_ON = frozenset({"IRONGRID_HANG_SCALE", "IRONGRID_DATA"})


class ProcessTable(Protocol):
    """What the engine must know of processes; `irongrid.telemetry.procfs` is one."""

    def start_ticks(self, pid: int, /) -> int | None:
        """When a living process started; None if it is gone."""

    def marked(self) -> Mapping[Mark, set[int]]:
        """Living processes by (job folder, attempt, node) in their environment."""

    def descendants(self, root: int, /) -> set[int]:
        """Living processes below `root`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A worker's file. Its groups are path prefixes of the cgroups that it may have made."""

    pid: int
    start_ticks: int
    cgroups: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Tracked:
    """A process of which a descriptor is held: readable means dead, whoever its parent is."""

    place: Place
    popen: subprocess.Popen[bytes] | None


@dataclass(slots=True)
class _Watch:
    """Every worker process that is known to live."""

    poll: select.epoll = field(default_factory=select.epoll)
    by_fd: dict[int, _Tracked] = field(default_factory=dict)

    def add(self, place: Place, fd: int, popen: subprocess.Popen[bytes] | None) -> None:
        """Watch the process behind a descriptor; `popen` if it is our own child."""
        self.poll.register(fd, select.EPOLLIN)
        self.by_fd[fd] = _Tracked(place=place, popen=popen)

    def reap(self) -> None:
        """Forget the dead, and leave no zombie of our own children."""
        for fd, _ in self.poll.poll(0):
            tracked = self.by_fd.pop(fd)
            self.poll.unregister(fd)
            os.close(fd)
            if tracked.popen is not None:
                tracked.popen.wait()

    def living(self) -> set[Place]:
        """Places for which some process that we watch lives."""
        return {tracked.place for tracked in self.by_fd.values()}

    def children(self, place: Place) -> set[int]:
        """Workers that we have started ourselves and not collected yet."""
        all_of_place = (each.popen for each in self.by_fd.values() if each.place == place)
        return {popen.pid for popen in all_of_place if popen is not None}


class LocalEngine:
    """Starts workers on this machine. Thread-safe."""

    def __init__(self, home: Path, nodes: tuple[Node, ...], processes: ProcessTable) -> None:
        self._home = home.absolute()
        self._nodes = nodes
        self._processes = processes
        self._watch = _Watch()
        self._lock = threading.Lock()
        self._started_at_s = time.monotonic()

    def capabilities(self) -> Capabilities:
        """Ours to place; no lease, as the process table proves what runs."""
        return Capabilities(name="local", placement="ours", lease_s=None)

    def nodes(self) -> tuple[Node, ...]:
        """The machine, as it was discovered when the server started."""
        return self._nodes

    def launch(self, orders: Sequence[LaunchOrder]) -> None:
        """Start a worker for each order whose place is still free.

        Raises:
            EngineRefused: a process or its folder cannot be made.
            EngineUnreachable: the machine lacks something that it may have again, such as disk
                space. Workers that were started stay, and the next call goes on from there.
        """
        try:
            with self._lock:
                for order in orders:
                    self._launch_one(order)
        except OSError as problem:
            text = f"a worker could not be started: {problem}"
            if problem.errno in _PASSING:
                raise EngineUnreachable("this machine", text) from problem
            self.stop(orders[0].job, orders[0].epoch, orders[0].placement)
            raise EngineRefused(text) from problem

    def stop(self, job: JobId, epoch: int, placement: Placement) -> None:
        """Kill the attempt's workers and everything below and beside them, then forget them.

        Waits a few seconds at most: a process that the kernel does not let go is seen by `observe`.
        """
        deadline_s = time.monotonic() + _STOP_S
        places = [(job, epoch, share.node) for share in placement.shares]
        for place in places:
            with contextlib.suppress(OSError):  # A full disk must not keep us from killing.
                self._take(place)
        while places and time.monotonic() < deadline_s:
            with self._lock:
                self._watch.reap()
                places = [place for place in places if self._kill(place)]
            time.sleep(_POLL_S if places else 0)

    def observe(self, wanted: Sequence[tuple[JobId, int, NodeId]]) -> tuple[Observed, ...]:
        """The phase of each wanted worker. What a dead worker left behind is killed first."""
        with self._lock:
            self._watch.reap()
            living = self._watch.living()
            for place in wanted:
                if place not in living and self._adopt(place):
                    living.add(place)
        lost = [place for place in wanted if place not in living]
        marked = self._processes.marked() if lost else {}
        gone = {place for place in lost if not self._is_left(place, marked)}
        return tuple(
            Observed(
                job=place[0],
                epoch=place[1],
                node=place[2],
                phase=WorkerPhase.GONE if place in gone else WorkerPhase.ALIVE,
            )
            for place in wanted
        )

    # ---- starting -----------------------------------------------------------------------------

    def _launch_one(self, order: LaunchOrder) -> None:
        place = (order.job, order.epoch, order.node)
        self._watch.reap()
        if place in self._watch.living() or self._written(place) is not None:
            return
        folder = self._folder(place)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = json.dumps(to_json(order)).encode()
        log_fd = os.open(folder / "worker.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            popen = subprocess.Popen(
                # -P: nothing in the working folder can pose as one of our modules.
                [sys.executable, "-P", "-m", "irongrid.worker"],
                stdin=subprocess.PIPE,
                stdout=log_fd,
                stderr=log_fd,
                env=self._environment(place),
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(log_fd)
        self._watch.add(place, os.pidfd_open(popen.pid), popen)
        assert popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # It has died: `observe` will tell.
            popen.stdin.write(text)
            popen.stdin.close()

    def _environment(self, place: Place) -> dict[str, str]:
        """The server's environment, without what is the server's own, and marked."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("IRONGRID_") or name in _PASSED_ON
        }
        device_type = next((node.device_type for node in self._nodes if node.id == place[2]), "cpu")
        job_dir, attempt, node = self._mark(place)
        return kept | {
            "IRONGRID_JOB_DIR": job_dir,
            "IRONGRID_ATTEMPT": attempt,
            "IRONGRID_NODE": node,
            "IRONGRID_DEVICE_TYPE": device_type,
        }

    def _mark(self, place: Place) -> Mark:
        job, epoch, node = place
        return str(self._home / "jobs" / job), attempt_id(job, epoch), node

    def _folder(self, place: Place) -> Path:
        job, epoch, node = place
        return self._home / "jobs" / job / f"attempt-{epoch}" / node

    # ---- finding ------------------------------------------------------------------------------

    def _written(self, place: Place) -> _Written | None:
        try:
            text = (self._folder(place) / "worker.json").read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            value = json.loads(text)
            return _Written(
                pid=value["pid"], start_ticks=value["start_ticks"], cgroups=tuple(value["cgroups"])
            )
        except (ValueError, KeyError, TypeError):
            # A loss of power has torn the file, and no process outlives that. The place is taken.
            return _Written(pid=0, start_ticks=0)

    def _adopt(self, place: Place) -> bool:
        """Watch a worker that an earlier server has started. The caller holds the lock."""
        written = self._written(place)
        if written is None or not self._lives(written):
            return False
        try:
            fd = os.pidfd_open(written.pid)
        except ProcessLookupError:
            return False
        if not self._lives(written):  # The pid has changed hands between look and descriptor.
            os.close(fd)
            return False
        self._watch.add(place, fd, None)
        return True

    def _lives(self, written: _Written) -> bool:
        return self._processes.start_ticks(written.pid) == written.start_ticks

    # ---- ending -------------------------------------------------------------------------------

    def _take(self, place: Place) -> None:
        """Take a place that no worker has taken, so that none that is on its way ever will."""
        folder = self._folder(place)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mine = folder / f"worker.json.{os.getpid()}.{threading.get_ident()}"
        mine.write_text(json.dumps({"pid": 0, "start_ticks": 0, "cgroups": []}))
        with contextlib.suppress(FileExistsError):
            os.link(mine, folder / "worker.json")
        mine.unlink()

    def _kill(self, place: Place) -> bool:
        """Kill what is left of one worker and its ranks; False when nothing is.

        The worker goes last and is frozen first: as long as it lives, whatever its ranks have
        started hangs below it, also what has shed its parents and its environment. The caller holds
        the lock, so that no worker's pid changes hands.
        """
        written = self._written(place)
        # One that was just started may not even be marked yet.
        workers = self._watch.children(place)
        if written is not None and self._lives(written):
            workers.add(written.pid)
        below: set[int] = set()
        for pid in workers:
            _signal(pid, signal.SIGSTOP)
            below |= self._processes.descendants(pid)
        marked = self._processes.marked().get(self._mark(place), set()) - workers - {os.getpid()}
        for pid in below | marked:
            _signal(pid, signal.SIGKILL)
        in_groups = _kill_groups(written) if written is not None else False
        if not below and not in_groups:
            for pid in workers:
                _signal(pid, signal.SIGKILL)
        return bool(below or marked or in_groups or workers)

    def _is_left(self, place: Place, marked: Mapping[Mark, set[int]]) -> bool:
        """Whether anything is left where no known worker lives; what is must go."""
        left = marked.get(self._mark(place), set()) - {os.getpid()}
        written = self._written(place)
        if written is None:
            # Such a worker is about to take its place; before that it starts nothing.
            just_now = time.monotonic() - self._started_at_s < _EXEC_S
            return bool(left) or (just_now and self._folder(place).exists())
        if self._lives(written):
            return True  # It has taken its place since we looked; the next look adopts it.
        for pid in left:
            _signal(pid, signal.SIGKILL)
        return _kill_groups(written) or bool(left)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_groups(written: _Written) -> bool:
    """Kill what is in a worker's cgroups and remove the empty ones; False when none held any."""
    held = False
    for prefix in written.cgroups:
        base = Path(prefix)
        for folder in base.parent.glob(f"{base.name}*"):
            with contextlib.suppress(OSError):  # It goes away as its last process does.
                pids = (folder / "cgroup.procs").read_text().split()
                for pid in pids:
                    _signal(int(pid), signal.SIGKILL)
                held = held or bool(pids)
                folder.rmdir()
    return held
