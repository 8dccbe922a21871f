"""The worker's end of the ranks' sessions: one listening socket, any number of connections."""

import os
import socket
from pathlib import Path
from typing import Any

from irongrid.errors import CodecError
from irongrid.session.lines import Hello, Line, read_line
from irongrid.session.protocol import Lines, encode

# The kernel takes 107 bytes; some leave room for less (unix(7)).
_MAX_PATH_BYTES = 100
_READ_BYTES = 2**16
_READS = 16
_BACKLOG = 128


class Connection:
    """One process of a rank that speaks to us. Until its hello, nobody knows whose."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.rank: int | None = None
        self.generation: int | None = None
        self._lines = Lines()

    def read(self) -> tuple[list[Line], bool]:
        """What has arrived, and whether more may come. A rank that never pauses is cut short."""
        read: list[Line] = []
        for _ in range(_READS):
            try:
                data = self.socket.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                return read, False
            if not data:
                return read, False
            for message in self._lines.feed(data):
                self._take(message, read)
            if len(data) < _READ_BYTES:
                break  # Most likely there is no more, and if there is, the loop turns again.
        return read, True

    def _take(self, message: dict[str, Any], read: list[Line]) -> None:
        try:
            line = read_line(message)
        except (CodecError, ValueError):
            return  # A newer session or a user's slip: the rest of what it says still counts.
        if isinstance(line, Hello):
            self.rank, self.generation = line.rank, line.generation
        if self.rank is not None:
            read.append(line)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message. A rank that has stopped reading is not waited for."""
        try:
            self.socket.send(encode(message))
        except OSError:
            return  # The rank is gone or stuck; its death or its silence is noticed elsewhere.


class Sessions:
    """All connections of the current generation."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "session")
        self._folder_fd: int | None = None
        if len(os.fsencode(self.path)) > _MAX_PATH_BYTES:
            # The same file by a short name, which ranks of the same user may follow.
            self._folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self.path = f"/proc/{os.getpid()}/fd/{self._folder_fd}/session"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(_BACKLOG)
        self.listener.setblocking(False)
        self._connections: set[Connection] = set()
        self._standing: list[dict[str, Any]] = []

    def accept(self) -> list[Connection]:
        """Connections that are new."""
        new: list[Connection] = []
        while True:
            try:
                connected, _ = self.listener.accept()
            except OSError:
                return new  # No more, or one that has gone again.
            connected.setblocking(False)
            new.append(Connection(connected))
            self._connections.add(new[-1])

    def greeted(self, connection: Connection) -> None:
        """A rank has said hello: it hears what all were told before it came."""
        for message in self._standing:
            connection.tell(message)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell all ranks, those too that connect later."""
        self._standing.append(message)
        for connection in self._connections:
            if connection.rank is not None:
                connection.tell(message)

    def speaking(self) -> set[int]:
        """Ranks that can be asked."""
        return {each.rank for each in self._connections if each.rank is not None}

    def of_rank(self, rank: int) -> list[Connection]:
        """The connections of one rank, and those of whom it is not known."""
        return [each for each in self._connections if each.rank in (rank, None)]

    def drop(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)
        connection.socket.close()

    def new_generation(self) -> None:
        """What the last generation was told does not concern the next."""
        self._standing.clear()

    def close(self) -> None:
        """Remove the socket."""
        self.listener.close()
        Path(self.path).unlink(missing_ok=True)
        if self._folder_fd is not None:
            os.close(self._folder_fd)
