"""The rank's end of the session: a socket, one thread that reads, and no waiting anywhere."""

import atexit
import contextlib
import os
import select
import socket
import threading
import time
from collections import deque
from typing import Any

from irongrid.session.protocol import Lines, encode

_CONNECT_S = 2.0
_CLOSE_S = 1.0
_PENDING_LINES = 256
_PROGRESS = b'{"t":"progress"'


class _Session:
    """A connection to the worker. When the worker has gone, all calls do nothing."""

    def __init__(self, path: str, rank: int, generation: int) -> None:
        self.stop: dict[str, Any] | None = None
        self._checkpoint_wanted = False
        self._lock = threading.Lock()
        self._pending: deque[bytes] = deque()
        self._socket: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_CONNECT_S)
            self._socket.connect(path)
            self._socket.setblocking(False)
        except OSError:
            self._drop()
            return
        self.send({"t": "hello", "rank": rank, "generation": generation, "pid": os.getpid()})
        reader = threading.Thread(
            target=self._read, args=(self._socket,), name="irongrid-session", daemon=True
        )
        reader.start()

    def send(self, message: dict[str, Any]) -> None:
        """Hand a line to the kernel, or keep it for the next call if the worker is slow to read."""
        with self._lock:
            if self._socket is None:
                return
            self._pending.append(encode(message))
            self._flush(self._socket)
            if len(self._pending) > _PENDING_LINES:
                self._make_room()

    def take_checkpoint(self) -> bool:
        """Whether a checkpoint was asked for since the last call."""
        with self._lock:
            wanted, self._checkpoint_wanted = self._checkpoint_wanted, False
        return wanted

    def close(self) -> None:
        """Give what is still here a moment to leave, then end."""
        with self._lock:
            if self._socket is None:
                return
            end_s = time.monotonic() + _CLOSE_S
            while self._pending and self._socket is not None and time.monotonic() < end_s:
                _wait(self._socket, select.POLLOUT, end_s - time.monotonic())
                self._flush(self._socket)
            self._drop()

    def _flush(self, connection: socket.socket) -> None:
        try:
            while self._pending:
                line = self._pending[0]
                sent = connection.send(line)
                if sent < len(line):
                    self._pending[0] = line[sent:]
                    return
                self._pending.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._drop()

    def _make_room(self) -> None:
        # The first line may be half sent. Progress is telemetry; the rest are facts.
        first, *others = self._pending
        facts = [line for line in others if not line.startswith(_PROGRESS)]
        self._pending = deque([first, *facts[-_PENDING_LINES // 2 :]])

    def _drop(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(
                OSError
            ):  # Not connected any more; this only wakes the reader.
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        self._socket = None
        self._pending.clear()

    def _read(self, connection: socket.socket) -> None:
        lines = Lines()
        try:
            while True:
                _wait(connection, select.POLLIN, None)
                data = connection.recv(65536)
                if not data:
                    break
                for message in lines.feed(data):
                    self._obey(message)
        except (OSError, ValueError):
            pass  # Closed by us or by the worker: either way there is nothing more to read.

    def _obey(self, message: dict[str, Any]) -> None:
        with self._lock:
            if message.get("t") == "checkpoint":
                self._checkpoint_wanted = True
            elif message.get("t") == "stop":
                self.stop = message


def _wait(connection: socket.socket, event: int, timeout_s: float | None) -> None:
    """Like select, which cannot take the high descriptors of a rank with many open files."""
    poll = select.poll()
    poll.register(connection, event)
    poll.poll(None if timeout_s is None else timeout_s * 1000)


_session: _Session | None = None
_opening = threading.Lock()


def _open() -> _Session | None:
    """The session of this process, opened by the first call that needs it."""
    global _session
    if _session is None and "IRONGRID_SOCKET" in os.environ:
        with _opening:
            if _session is None:
                _session = _Session(
                    os.environ["IRONGRID_SOCKET"],
                    int(os.environ.get("IRONGRID_RANK", "0")),
                    int(os.environ.get("IRONGRID_GENERATION", "0")),
                )
                atexit.register(close)
    return _session


def _forget() -> None:
    """A forked child has the socket but not the thread: it opens its own if it ever speaks."""
    global _session, _opening
    _session = None
    _opening = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def _tell(message: dict[str, Any]) -> None:
    session = _open()
    if session is not None:
        session.send(message)


def phase(name: str) -> None:
    """Say what comes next, one of `irongrid.session.protocol.PHASES`.

    From the first call on, Irongrid watches this rank: a phase that lasts beyond its bound is a
    hang. A script that never calls it is never called hung.
    """
    _tell({"t": "phase", "name": name})


def ready(resumed_step: int = 0, reached_step: int = 0) -> None:
    """Say that model and state stand.

    Args:
        resumed_step: where they were loaded from.
        reached_step: how far the job had come before, if that is known: more than `resumed_step`
            where steps have to be done again.
    """
    _tell({"t": "ready", "resumed_step": resumed_step, "reached_step": reached_step})


def progress(step: int, **metrics: float) -> None:
    """Say that optimizer step `step` is done; the metrics appear in `irongrid show`."""
    figures = {name: float(value) for name, value in metrics.items()}
    _tell({"t": "progress", "step": step, "metrics": figures})


def checkpointed(
    *,
    step: int,
    path: str,
    size_bytes: int,
    written_bytes: int = 0,
    age_ns: int = 0,
    stall_ns: int = 0,
) -> None:
    """Say that a checkpoint is complete on disk; one rank says it for all.

    Args:
        written_bytes: of `size_bytes`, what had to be written anew.
        age_ns: time since the state was captured.
        stall_ns: time that training stood still for it.
    """
    _tell(
        {
            "t": "checkpoint",
            "step": step,
            "path": path,
            "size_bytes": size_bytes,
            "written_bytes": written_bytes,
            "age_ns": age_ns,
            "stall_ns": stall_ns,
        }
    )


def checkpoint_failed(*, step: int, code: str, message: str) -> None:
    """Say that a checkpoint could not be written or read.

    Args:
        code: `disk_full`, `damaged`, `io_error` or `fenced`.
    """
    _tell({"t": "checkpoint_failed", "step": step, "code": code, "message": message[:2000]})


def should_checkpoint() -> bool:
    """True once per request to save soon. Ranks may hear it at different steps: let one decide."""
    session = _open()
    return session is not None and session.take_checkpoint()


def should_stop() -> bool:
    """Whether this rank was asked to end; it is killed when its grace is over."""
    session = _open()
    return session is not None and session.stop is not None


def stop_wants_save() -> bool:
    """Whether the request to end asks for a last checkpoint."""
    session = _open()
    return session is not None and session.stop is not None and bool(session.stop.get("save"))


def close() -> None:
    """Let pending lines leave. For a script that ends by `os._exit`; others need not call it."""
    if _session is not None:
        _session.close()
