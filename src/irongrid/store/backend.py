"""What differs between databases. Everything else in this package is the same code for both."""

import json
import os
import re
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from irongrid.errors import StoreError

LOCK_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What a database error means to a person.

    Attributes:
        final: the connection must not be used again; only a restart of the server helps.
    """

    problem: str
    final: bool


class Backend(Protocol):
    """One kind of database."""

    @property
    def name(self) -> str:
        """The database as errors and people may see it: no password."""

    def open(self, holder: str, *, wait_s: float, takeover: bool) -> Connection:
        """Lock the store for life and connect.

        Raises:
            StoreHeld: another server has it.
            StoreError: no such database, or no answer.
        """

    def open_reader(self) -> Connection:
        """Connect beside the server that holds the store."""

    def check_place(self) -> None:
        """Raise StoreError if commits no longer reach the place where the next server will look."""

    def announce(self, holder: str) -> None:
        """Show this holder to servers that are refused."""

    def close(self, connection: Connection) -> None:
        """Disconnect and release the lock."""

    def explain(self, error: DBAPIError) -> Trouble:
        """What an error means. Never holds values from statements, nor a password."""


def backend_for(target: str | Path) -> Backend:
    """The backend behind a path or a URL (`sqlite:///path`, `postgresql://user@host/database`).

    Raises:
        StoreError: no store has such a URL.
    """
    from irongrid.store.postgresql import PostgreSQL
    from irongrid.store.sqlite import SQLite

    if isinstance(target, Path) or "://" not in target:
        return SQLite(Path(target))
    try:
        url = make_url(target)
    except (ArgumentError, ValueError):
        raise StoreError(
            "the store's URL cannot be read. Use postgresql://user@host/name"
        ) from None
    if url.drivername == "sqlite" and url.database:
        return SQLite(Path(url.database))
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return PostgreSQL(url)
    raise StoreError(
        f"no store for {url.drivername}://. Use a path, sqlite:///path or postgresql://user@host/name"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a store, in words for whoever is refused."""

    holder: str
    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"{self.holder} (pid {self.pid} on {self.host}, since {self.since})"


def holder_json(holder: str) -> str:
    """This process as a holder, as JSON."""
    return json.dumps(
        asdict(
            Holder(
                holder=re.sub(r"://[^/\s]*@", "://", holder),
                pid=os.getpid(),
                host=socket.gethostname(),
                since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            )
        )
    )


def describe_holder(text: str) -> str:
    """The holder behind its JSON; a holder that has not written it yet is just another server."""
    try:
        return str(Holder(**json.loads(text)))
    except (ValueError, TypeError):
        return "another server"
