"""Both databases, for every test of the store: a SQLite file and a schema of a real PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from irongrid.domain.event import JobSubmitted, Recorded
from irongrid.domain.ids import job_id
from irongrid.domain.job import JobSpec, RunTask
from irongrid.store import EventStore, open_store

MakeRecord = Callable[..., Recorded]


@pytest.fixture
def sqlite_target(tmp_path: Path) -> str:
    """A file of its own."""
    return str(tmp_path / "irongrid.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest) -> str:
    """An empty place for a store, once per kind of database."""
    fixture = "sqlite_target" if request.param == "sqlite" else "postgres_target"
    return str(request.getfixturevalue(fixture))


@pytest.fixture
def store(target: str) -> Iterator[EventStore]:
    """An empty store."""
    with_store = open_store(target, holder="a test")
    yield with_store
    with_store.close()


@pytest.fixture
def record() -> MakeRecord:
    """Makes the record of a submission: number `seq`, of job number `job`."""

    def make(seq: int, job: int | None = None, key: str = "") -> Recorded:
        spec = JobSpec(name=f"n{seq}", task=RunTask(argv=("true",)), workdir="/w")
        submitted = JobSubmitted(job=job_id(job or seq), spec=spec, key=key or f"k{seq}")
        return Recorded(seq, 1_000 + seq, submitted)

    return make
