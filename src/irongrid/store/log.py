"""The append-only log: one server appends, anybody may read."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from irongrid.domain.event import Recorded, ServerStarted
from irongrid.domain.ids import JobId
from irongrid.errors import Fenced, StoreError
from irongrid.ports import JobEnvironment
from irongrid.store import snapshots
from irongrid.store.backend import Backend, backend_for, describe_holder, holder_json
from irongrid.store.migrate import check_revision, migrate
from irongrid.store.rows import EventRow, encode_json, from_row, to_row
from irongrid.store.schema import ENVIRONMENTS, EVENTS, HEAD, SERVER

PAGE = 2000


def open_store(
    target: str | Path, *, holder: str, wait_s: float = 1.0, takeover: bool = False
) -> "EventStore":
    """Take a store for this server, for life: a path of a SQLite file, or a PostgreSQL URL.

    The caller's process must not fork while it holds the store (start children by `subprocess`).

    Args:
        holder: who this is, for a server that is refused, such as `the server at http://...`. No
            secrets.
        wait_s: how long to wait for a holder that is just ending.
        takeover: go without the lock, for a holder that cannot be stopped. It is fenced: its next
            commit fails.

    Raises:
        StoreHeld: another server holds the store.
        StoreError: the store cannot be opened, or a newer Irongrid wrote it.
    """
    backend = backend_for(target)
    text = holder_json(holder)
    connection = backend.open(text, wait_s=wait_s, takeover=takeover)
    try:
        return EventStore(backend, connection, text)
    except BaseException:
        backend.close(connection)
        raise


def open_reader(target: str | Path) -> "EventReader":
    """Read a store beside its server, from another process or thread; also writes snapshots.

    Raises:
        StoreError: the store cannot be opened, or belongs to another version of Irongrid.
    """
    backend = backend_for(target)
    connection = backend.open_reader()
    try:
        return EventReader(backend, connection)
    except BaseException:
        backend.close(connection)
        raise


class EventReader:
    """Reads the log. One thread at a time."""

    def __init__(self, backend: Backend, connection: Connection) -> None:
        self._backend = backend
        self._connection = connection
        self._lost = ""
        with self._translated():
            self._prepare()

    @property
    def name(self) -> str:
        """The database, as people may see it."""
        return self._backend.name

    def read(
        self, after_seq: int = 0, limit: int | None = None, *, job: JobId | None = None
    ) -> Iterator[Recorded]:
        """Records in order, upcast to the current versions; of one job, or all.

        Raises:
            StoreError: a record is damaged, or a newer Irongrid wrote it.
        """
        columns = (EVENTS.c.seq, EVENTS.c.at_ns, EVENTS.c.kind, EVENTS.c.version, EVENTS.c.body)
        wanted = select(*columns).order_by(EVENTS.c.seq)
        if job is not None:
            wanted = wanted.where(EVENTS.c.job == job)
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(left, PAGE)
            with self._transaction() as connection:
                page = connection.execute(wanted.where(EVENTS.c.seq > after_seq).limit(size)).all()
            for row in page:
                yield from_row(*row)
            if len(page) < size:
                return
            after_seq = page[-1].seq
            left = None if left is None else left - size

    def head_seq(self) -> int:
        """The last sequence number; 0 for an empty log."""
        with self._transaction() as connection:
            return int(connection.execute(select(SERVER.c.head_seq)).scalar_one())

    def write_snapshot(self, seq: int, parts: Iterable[str]) -> None:
        """Keep a snapshot of the state after record `seq`; complete or invisible. Old ones go.

        Raises:
            StoreError: it was not kept.
        """
        snapshots.write(self._transaction, seq, parts)

    def latest_snapshot(self) -> tuple[int, Iterator[str]] | None:
        """The newest complete and undamaged snapshot, or None."""
        return snapshots.latest(self._transaction)

    def close(self) -> None:
        """Let the database go."""
        self._backend.close(self._connection)

    def _prepare(self) -> None:
        found = check_revision(self._connection, self.name)
        if found != HEAD:
            raise StoreError(
                f"{self.name} has schema revision {found!r}, not {HEAD!r}: start the server on it"
            )

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self._lost:
            raise StoreError(self._lost)
        with self._translated(), self._connection.begin():
            yield self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        # `from None`: the original's text and context may quote rows, so values of environments.
        try:
            yield
        except DBAPIError as error:
            trouble = self._backend.explain(error)
            if trouble.final:
                # SQLAlchemy would connect again by itself, without the lock.
                self._lost = f"the store is lost until a restart: {trouble.problem}"
            raise StoreError(trouble.problem) from None


class EventStore(EventReader):
    """The log in the hands of the one server that may append. Implements `ports.Store`."""

    def __init__(self, backend: Backend, connection: Connection, holder: str) -> None:
        super().__init__(backend, connection)
        with self._transaction() as transaction:
            transaction.execute(
                update(SERVER).values(server_epoch=SERVER.c.server_epoch + 1, holder=holder)
            )
            server = transaction.execute(select(SERVER)).one()
            last = transaction.execute(select(func.max(EVENTS.c.seq))).scalar() or 0
        if last != server.head_seq:
            raise StoreError(
                f"{self.name} is damaged: its last event is {last}, and {server.head_seq} was "
                "acknowledged. Restore it from a copy"
            )
        self._server_epoch = int(server.server_epoch)

    @property
    def server_epoch(self) -> int:
        """Fencing number of this holder; every commit checks that it is still the newest."""
        return self._server_epoch

    @property
    def lost(self) -> str:
        """Why this store can never commit again; empty while it can.

        When the connection breaks in the middle of a commit, nobody knows whether it took place.
        The server ends, and the next one finds in the log what is true.
        """
        return self._lost

    def append(
        self, records: Sequence[Recorded], environments: Sequence[JobEnvironment] = ()
    ) -> None:
        """Append in one transaction; durable when the call returns. Sequence numbers have no gaps.

        Raises:
            StoreError: nothing was appended (if `lost` is set: nothing was acknowledged).
            Fenced: another server took the store over; nothing was appended.
        """
        rows = [to_row(record) for record in records]
        with self._transaction() as connection:
            self._add(connection, rows)
            if environments:
                values = [{"job": e.job, "body": encode_json(e.values)} for e in environments]
                connection.execute(insert(ENVIRONMENTS), values)

    def fill(self, batches: Iterable[Sequence[Recorded]]) -> int:
        """Append all batches in one transaction, all or nothing; returns the event count.

        The server epoch rises to the highest one that the log speaks of.
        """
        count = 0
        epoch = self._server_epoch
        with self._transaction() as connection:
            for records in batches:
                self._add(connection, [to_row(record) for record in records])
                count += len(records)
                started = (r.event for r in records if isinstance(r.event, ServerStarted))
                epoch = max([epoch, *(event.server_epoch for event in started)])
            self._add(connection, ())
            connection.execute(update(SERVER).values(server_epoch=epoch))
        self._server_epoch = epoch
        return count

    def environment(self, job: JobId) -> dict[str, str]:
        """The values behind a job's `env_names`; empty when it has none."""
        with self._transaction() as connection:
            body = connection.execute(
                select(ENVIRONMENTS.c.body).where(ENVIRONMENTS.c.job == job)
            ).scalar()
        values: dict[str, str] = {} if body is None else json.loads(body)
        return values

    def drop_environments(self, jobs: Sequence[JobId]) -> None:
        """Forget the values of ended jobs."""
        if not jobs:
            return
        with self._transaction() as connection:
            self._add(connection, ())
            ended = delete(ENVIRONMENTS).where(ENVIRONMENTS.c.job == bindparam("ended"))
            connection.execute(ended, [{"ended": job} for job in jobs])

    def announce(self, holder: str) -> None:
        """Tell who this is anew, once the server has its address."""
        text = holder_json(holder)
        with self._transaction() as connection:
            self._add(connection, ())
            connection.execute(update(SERVER).values(holder=text))
        self._backend.announce(text)

    def _prepare(self) -> None:
        migrate(self._connection, self.name)

    def _add(self, connection: Connection, rows: Sequence[EventRow]) -> None:
        """Move the head of the log by these rows, under this server's own epoch, and insert them.

        The first statement of each writing transaction: it takes the row of the server, so that no
        other server can come in between before the commit.
        """
        self._backend.check_place()
        first, last = (rows[0], rows[-1]) if rows else (None, None)
        move = update(SERVER).where(*self._fence())
        if first is not None and last is not None:
            if [row["seq"] for row in rows] != list(range(first["seq"], first["seq"] + len(rows))):
                raise StoreError("the sequence numbers of a batch must have no gaps")
            move = move.where(
                SERVER.c.head_seq == first["seq"] - 1, SERVER.c.head_at_ns <= first["at_ns"]
            ).values(head_seq=last["seq"], head_at_ns=last["at_ns"])
        else:
            move = move.values(head_seq=SERVER.c.head_seq)
        if connection.execute(move).rowcount != 1:
            self._refuse(connection, first)
        if rows:
            connection.execute(insert(EVENTS), rows)

    def _fence(self) -> Sequence[ColumnElement[bool]]:
        return (SERVER.c.server_epoch == self._server_epoch,)

    def _refuse(self, connection: Connection, first: EventRow | None) -> NoReturn:
        server = connection.execute(select(SERVER)).one()
        if server.server_epoch != self._server_epoch:
            raise Fenced(
                "server_epoch",
                f"{describe_holder(server.holder)} took {self.name} over with server epoch "
                f"{server.server_epoch}; this one has {self._server_epoch}",
                "this server must end",
            )
        assert first is not None
        raise StoreError(
            f"event {first['seq']} at {first['at_ns']} ns does not follow event {server.head_seq} "
            f"at {server.head_at_ns} ns; nothing was appended"
        )
