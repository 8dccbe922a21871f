"""A rank's output on its way to disk: two pipes in, one rotated log out, the last lines kept."""

import os
import select
from collections import deque

from irongrid.telemetry.ranklogs import RankLog

TAIL_LINES = 20
_TAIL_LINE_BYTES = 2000
_READ_BYTES = 2**18


class Tail:
    """The last lines of a stream, however long they are."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._open = b""

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        *complete, rest = (self._open + data).split(b"\n")
        self._lines.extend(line[-_TAIL_LINE_BYTES:] for line in complete[-TAIL_LINES:])
        self._open = rest[-_TAIL_LINE_BYTES:]

    def lines(self) -> tuple[str, ...]:
        """As text; of a line that a progress bar has painted over, what it showed at the end."""
        lines = [*self._lines, self._open] if self._open else list(self._lines)
        texts = (line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace") for line in lines)
        return tuple(texts)[-TAIL_LINES:]


class Pipe:
    """The reading end of a rank's stdout or stderr."""

    def __init__(self, log: RankLog, tail: Tail | None) -> None:
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_fd, False)
        self._log = log
        self._tail = tail
        self._lost_bytes = 0

    def close_writer(self) -> None:
        """The rank has its own copy now."""
        os.close(self.write_fd)

    def pump(self) -> bool:
        """Move what is there to the log; False at the end of the stream."""
        try:
            data = os.read(self.read_fd, _READ_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        if self._tail is not None:
            self._tail.feed(data)
        self._keep(data)
        return True

    def drain(self) -> None:
        """Move all that is there now; what a surviving child may write later is not waited for."""
        poll = select.poll()
        poll.register(self.read_fd, select.POLLIN)
        while poll.poll(0) and self.pump():
            pass

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self.read_fd)

    def _keep(self, data: bytes) -> None:
        if self._lost_bytes:
            note = f"\n[irongrid: {self._lost_bytes} bytes of output were lost, disk full]\n"
            if self._log.write(note.encode()):
                self._lost_bytes += len(data)
                return
            self._lost_bytes = 0
        self._lost_bytes += self._log.write(data)
