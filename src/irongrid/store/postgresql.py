"""PostgreSQL: the lock belongs to the very session that commits, so neither outlives the other."""

import os
import re
import time

from sqlalchemy import URL, Connection, NullPool, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from irongrid.errors import StoreError, StoreHeld
from irongrid.store.backend import LOCK_POLL_S, Trouble, describe_holder
from irongrid.store.schema import SERVER

# A silent peer is dead after about 20 s, on either side: a server on a lost machine frees its lock.
_CONNECT = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "irongrid",
}
_SESSION = (
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 3",
    "SET tcp_keepalives_count = 3",
    "SET tcp_user_timeout = 20000",
    "SET lock_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = 0",
    "SET idle_session_timeout = 0",
)
# One store per schema of a database: the first half of the lock's name is ours, the second its own.
_LOCK = text(
    f"SELECT pg_try_advisory_lock({int.from_bytes(b'IRON', 'big')}, hashtext(current_schema()))"
)
_DISK_FULL = "53100"


class PostgreSQL:
    """A store in a database of a team."""

    def __init__(self, url: URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        secrets = (url.password, url.query.get("password"), os.environ.get("PGPASSWORD"))
        self._secrets = [str(secret) for secret in secrets if secret]

    @property
    def name(self) -> str:
        """Where the database is, without user and password."""
        return f"postgresql://{self._url.host or 'localhost'}/{self._url.database or ''}"

    def open(self, holder: str, *, wait_s: float, takeover: bool) -> Connection:
        """Connect, then lock. A takeover goes without the lock."""
        connection = self._connect()
        try:
            if not takeover:
                self._lock(connection, wait_s)
        except BaseException:
            connection.close()
            raise
        return connection

    def open_reader(self) -> Connection:
        """Connect beside the server."""
        return self._connect()

    def check_place(self) -> None:
        """The session is the place."""

    def announce(self, holder: str) -> None:
        """Nothing to do: refused servers read the server row."""

    def close(self, connection: Connection) -> None:
        """Disconnect; the lock goes with the session."""
        connection.close()

    def explain(self, error: DBAPIError) -> Trouble:
        """The first line of what PostgreSQL says: details may quote rows."""
        sqlstate = getattr(error.orig, "sqlstate", None)
        if sqlstate == _DISK_FULL:
            problem = f"the disk of {self.name} is full: free some space"
            return Trouble(problem=problem, final=False)
        primary = getattr(getattr(error.orig, "diag", None), "message_primary", None)
        # Without a server's message the text is the driver's own, about the connection.
        said = self._redacted(str(primary or error.orig).strip().partition("\n")[0])
        return Trouble(
            problem=f"{self.name}: {said} ({sqlstate or 'connection'})",
            final=error.connection_invalidated,
        )

    def _redacted(self, said: str) -> str:
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return re.sub(r"(?i)(password\s*=\s*)\S+", r"\1***", said)

    def _lock(self, connection: Connection, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        try:
            while not self._try_lock(connection):
                if time.monotonic() >= deadline:
                    raise StoreHeld(describe_holder(self._holder(connection)))
                time.sleep(LOCK_POLL_S)
        except DBAPIError as error:
            raise StoreError(self.explain(error).problem) from None

    def _try_lock(self, connection: Connection) -> bool:
        with connection.begin():
            return bool(connection.execute(_LOCK).scalar_one())

    def _holder(self, connection: Connection) -> str:
        with connection.begin():
            if not inspect(connection).has_table(SERVER.name):
                return ""
            return str(connection.execute(SERVER.select()).one().holder)

    def _connect(self) -> Connection:
        try:
            engine = create_engine(
                self._url, connect_args=_CONNECT, poolclass=NullPool, hide_parameters=True
            )
            connection = engine.connect()
        except ModuleNotFoundError:
            raise StoreError(
                "PostgreSQL needs psycopg. Install it: pip install 'irongrid[postgres]'"
            ) from None
        except DBAPIError as error:
            raise StoreError(self.explain(error).problem) from None
        except SQLAlchemyError as error:
            raise StoreError(f"{self.name}: {self._redacted(str(error))}") from None
        with connection.begin():
            for setting in _SESSION:
                connection.execute(text(setting))
            if connection.execute(text("SHOW synchronous_commit")).scalar_one() == "off":
                connection.execute(text("SET synchronous_commit = on"))
        return connection
