"""The home folder: one lock, one token file, one address file, all for the owner only."""

import fcntl
import json
import os
import secrets
from pathlib import Path

from irongrid.errors import Refused, StoreHeld

_SECRET_BYTES = 32


class Home:
    """Paths and small files of IRONGRID_HOME. Nothing in it is readable by others."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._lock_fd: int | None = None

    @property
    def address_file(self) -> Path:
        """Holds the URL of the running server."""
        return self.root / "address"

    @property
    def database(self) -> Path:
        """The SQLite store, where no other is named."""
        return self.root / "irongrid.db"

    @property
    def cache_dir(self) -> Path:
        """Tokenised data, shared by jobs."""
        return self.root / "cache"

    def job_dir(self, job: str) -> Path:
        """Logs, metrics and checkpoints of one job."""
        return self.root / "jobs" / job

    def attempt_dir(self, job: str, epoch: int) -> Path:
        """Logs and worker files of one attempt."""
        return self.job_dir(job) / f"attempt-{epoch}"

    def prepare(self) -> None:
        """Make the folder, with its token and secret, where they are missing.

        Raises:
            Refused: the folder cannot be used.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.root.chmod(0o700)
            self.cache_dir.mkdir(exist_ok=True, mode=0o700)
            for name in ("token", "secret"):
                path = self.root / name
                if not path.exists():
                    write_private(path, secrets.token_urlsafe(_SECRET_BYTES) + "\n")
                path.chmod(0o600)
        except OSError as problem:
            raise Refused(
                "bad_home",
                f"{self.root} cannot be the home folder: {problem.strerror}",
                "set IRONGRID_HOME to a folder of your own",
            ) from problem

    def token(self) -> str:
        """The user's bearer token."""
        return (self.root / "token").read_text().strip()

    def secret(self) -> bytes:
        """Key that signs attempt tokens; never leaves the server."""
        return (self.root / "secret").read_text().strip().encode()

    def lock(self, started_at: str) -> None:
        """Hold the home folder for this process.

        Raises:
            StoreHeld: another server has it; the error names that server.
        """
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 4096, 0).decode(errors="replace").strip()
            os.close(fd)
            raise StoreHeld(describe_holder(holder)) from None
        self._lock_fd = fd
        self._write_holder(started_at, "")

    def announce(self, address: str, started_at: str) -> None:
        """Tell clients and workers where the server listens."""
        write_private(self.address_file, address + "\n")
        self._write_holder(started_at, address)

    def withdraw(self) -> None:
        """Take the address back: the server no longer listens."""
        self.address_file.unlink(missing_ok=True)

    def unlock(self) -> None:
        """Let another server have the home folder."""
        if self._lock_fd is not None:
            os.ftruncate(self._lock_fd, 0)
            os.close(self._lock_fd)
            self._lock_fd = None

    def _write_holder(self, started_at: str, address: str) -> None:
        assert self._lock_fd is not None
        text = json.dumps({"pid": os.getpid(), "started_at": started_at, "address": address})
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, text.encode() + b"\n", 0)


def describe_holder(text: str) -> str:
    """Words for the content of a lock file: `the server with pid 7 at http://127.0.0.1:80`."""
    try:
        holder = json.loads(text)
        words = f"the server with pid {int(holder['pid'])}"
        if holder["address"]:
            words += f" at {holder['address']}"
        return words + f", started {holder['started_at']}"
    except (ValueError, KeyError, TypeError):
        return "another server"


def write_private(path: Path, text: str) -> None:
    """Put a whole file in place at once, readable by its owner only."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
