"""The worker's end of the zygote: a process that has imported torch once and forks ranks.

It says one JSON object per line over a socket pair. Forked ranks are its children, so it is the one
that learns how they end, and says so.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from irongrid.session.protocol import Lines
from irongrid.worker.journal import pass_on
from irongrid.worker.output import Tail
from irongrid.worker.ranks import Rank, die_with_parent

MODULE = "irongrid.train.zygote"
_SEND_S = 5.0
_READ_BYTES = 2**16


class Zygote:
    """One zygote and what is known of it.

    Attributes:
        ready: it has imported everything and can fork.
        store_pid: the process of the rendezvous store, if it was asked for one.
        unanswered: forks that it was asked for and has not confirmed.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.ready = False
        self.store_pid: int | None = None
        self.unanswered = 0
        self.tail = Tail()
        self._lines = Lines()
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.stderr_fd, stderr_write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.stderr_fd, False)
        self.socket.setblocking(False)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                stderr=stderr_write_fd,
                env=dict(environment) | {"IRONGRID_ZYGOTE_FD": str(theirs.fileno())},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )
        finally:
            theirs.close()
            os.close(stderr_write_fd)

    @property
    def pid(self) -> int:
        """The zygote's own process."""
        return self.process.pid

    @property
    def protected(self) -> set[int]:
        """Processes that outlive a generation."""
        return {self.pid} | ({self.store_pid} if self.store_pid is not None else set())

    def ask_for_store(self, host: str) -> None:
        """Have it start the store where ranks meet; the answer is a `rendezvous` message."""
        with contextlib.suppress(OSError):
            self._send(_line({"op": "rendezvous", "host": host}), [])

    def fork(self, rank: Rank, generation: int, environment: Mapping[str, str]) -> None:
        """Have it fork a rank; the answer is a `forked` message.

        None comes from a zygote that is dead or stuck, and both are noticed for themselves.
        """
        procs = rank.group.procs_files if rank.group is not None else ()
        message = {
            "op": "fork",
            "rank": rank.number,
            "generation": generation,
            "env": dict(environment),
            "cgroup_procs": list(procs),
        }
        self.unanswered += 1
        with contextlib.suppress(OSError):
            self._send(_line(message), [rank.out.write_fd, rank.err.write_fd])

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """Messages that have arrived, and whether more may come."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return [], True
        except OSError:
            return [], False
        messages = self._lines.feed(data)
        for message in messages:
            match message.get("op"):
                case "ready":
                    self.ready = True
                case "forked":
                    self.unanswered -= 1
                case "rendezvous":
                    self.store_pid = int(message["pid"])
        return messages, bool(data)

    def pump_stderr(self) -> bool:
        """Pass on what it says; False at the end of the stream."""
        try:
            data = os.read(self.stderr_fd, _READ_BYTES)
        except BlockingIOError:
            return True
        self.tail.feed(data)
        pass_on(data)
        return bool(data)

    def _send(self, line: bytes, fds: list[int]) -> None:
        """Send a line, its first part with descriptors. A zygote that lives reads at once."""
        self.socket.settimeout(_SEND_S)
        try:
            sent = socket.send_fds(self.socket, [line], fds) if fds else 0
            self.socket.sendall(line[sent:])
        finally:
            self.socket.setblocking(False)

    def close(self) -> None:
        """End it; its ranks and its store die with it."""
        self.socket.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
