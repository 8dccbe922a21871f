"""SQLite: one file, one writer, an exclusive lock of the operating system beside it."""

import fcntl
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from irongrid.errors import StoreError, StoreHeld
from irongrid.store.backend import LOCK_POLL_S, Trouble, describe_holder

# FULL syncs the write-ahead log at each commit: what is acknowledged survives power loss.
# secure_delete overwrites dropped environments, which may hold secrets, where that costs no I/O.
PRAGMAS: tuple[str, ...] = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = FAST",
    "PRAGMA journal_size_limit = 67108864",
)
# A snapshot writer holds the write lock for milliseconds at a time; anything longer is a fault.
BUSY_TIMEOUT_S = 5.0

# After a failed sync the kernel may have dropped the pages: nothing may build on them.
_FINAL = ("SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC")


class SQLite:
    """A store in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._lock_fd: int | None = None
        self._inode = -1

    @property
    def name(self) -> str:
        """The file."""
        return str(self._path)

    def open(self, holder: str, *, wait_s: float, takeover: bool) -> Connection:
        """Lock and open the file; make it if there is none. A takeover goes without the lock."""
        try:
            if not takeover:
                self._lock(wait_s)
                self.announce(holder)
            self._make_file()
            self._inode = os.stat(self._path).st_ino
            return self._connect()
        except OSError as error:
            self._unlock()
            raise StoreError(f"{self.name}: {error.strerror}. Choose another place") from None
        except BaseException:
            self._unlock()
            raise

    def open_reader(self) -> Connection:
        """Open the file beside its server."""
        if not self._path.exists():
            raise StoreError(f"{self.name} does not exist. Start a server on it first")
        return self._connect()

    def check_place(self) -> None:
        """The file that is open must still be the one behind the path."""
        try:
            inode = os.stat(self._path).st_ino
        except OSError:
            inode = -1
        if inode != self._inode:
            raise StoreError(f"{self.name} was moved or replaced under its server. Put it back")

    def announce(self, holder: str) -> None:
        """Write the holder into the lock file, where a refused server and a person find it."""
        if self._lock_fd is not None:
            os.ftruncate(self._lock_fd, 0)
            os.pwrite(self._lock_fd, holder.encode() + b"\n", 0)

    def close(self, connection: Connection) -> None:
        """Close the file, then let the lock go."""
        connection.close()
        self._unlock()

    def explain(self, error: DBAPIError) -> Trouble:
        """In words, by SQLite's own error names."""
        code = str(getattr(error.orig, "sqlite_errorname", ""))
        final = code in _FINAL
        if code == "SQLITE_FULL":
            return Trouble(problem=f"the disk of {self.name} is full: free some space", final=False)
        if code.startswith("SQLITE_BUSY"):
            problem = f"{self.name}: another process has kept the write lock for too long"
            return Trouble(problem=problem, final=False)
        return Trouble(problem=f"{self.name}: {error.orig} ({code or 'driver'})", final=final)

    def _lock(self, wait_s: float) -> None:
        # Never unlinked: a lock on a name that is gone would lock out nobody.
        path = self._path.with_name(self._path.name + ".lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lock_fd = fd
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    text = os.pread(fd, 4096, 0).decode(errors="replace")
                    os.close(fd)
                    raise StoreHeld(describe_holder(text)) from None
            time.sleep(LOCK_POLL_S)

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _make_file(self) -> None:
        """An empty file that only its owner may read, with its name safe on disk."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _connect(self) -> Connection:
        engine = create_engine(
            URL.create("sqlite", database=str(self._path)),
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            poolclass=NullPool,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        try:
            return engine.connect()
        except DBAPIError as error:
            raise StoreError(self.explain(error).problem) from None
        except sqlite3.Error as error:
            raise StoreError(f"{self.name}: {error}") from None


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own guesses when to begin a transaction are switched off; see `_begin`.
    connection.isolation_level = None
    for pragma in PRAGMAS:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    # Deferred, so that readers take no lock. Writing transactions start with a write, which waits
    # for its turn; one that read first would be refused if another process wrote in between.
    connection.exec_driver_sql("BEGIN")
