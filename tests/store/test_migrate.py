"""A database of any earlier revision is upgraded; one of a later revision is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from irongrid.domain.event import Recorded
from irongrid.errors import StoreError
from irongrid.store import EventStore, open_reader, open_store
from irongrid.store.migrate import MIGRATIONS, revision_of, upgrade
from irongrid.store.schema import HEAD, METADATA, REVISIONS

MakeRecord = Callable[..., Recorded]

NEXT_REVISION = '''
"""A revision that only this test knows: a column with a value for each event there is."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("events", sa.Column("trace", sa.String(8), server_default="none"))
    op.execute("UPDATE events SET trace = 'old'")
    {then}
'''


@pytest.fixture
def next_revision(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a folder with one more revision, which ends with a statement."""

    def write(then: str) -> Path:
        folder = tmp_path / "more_revisions"
        folder.mkdir()
        (folder / "r9999.py").write_text(NEXT_REVISION.format(head=HEAD, then=then))
        return folder

    return write


def traces(store: EventStore) -> list[str]:
    with store._transaction() as connection:
        return list(connection.exec_driver_sql("SELECT trace FROM events ORDER BY seq").scalars())


def test_the_list_of_revisions_is_the_chain_of_files() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]

    assert tuple(reversed(chain)) == REVISIONS


def test_the_revisions_lead_to_the_tables_that_the_code_uses(store: EventStore) -> None:
    with store._transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_a_log_of_the_first_revision_is_kept_by_an_upgrade(
    target: str, record: MakeRecord, next_revision: Callable[[str], Path]
) -> None:
    store = open_store(target, holder="a test")
    store.append([record(1), record(2)])
    folder = next_revision("pass")

    upgrade(store._connection, "9999", [folder])

    assert revision_of(store._connection) == "9999"
    store.append([record(3)])
    assert traces(store) == ["old", "old", "none"]
    assert list(store.read()) == [record(1), record(2), record(3)]
    store.close()


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(
    target: str, record: MakeRecord, next_revision: Callable[[str], Path]
) -> None:
    store = open_store(target, holder="a test")
    store.append([record(1)])
    folder = next_revision("raise RuntimeError")

    with pytest.raises(RuntimeError):
        upgrade(store._connection, "9999", [folder])
    store.close()

    again = open_store(target, holder="a test")
    assert revision_of(again._connection) == HEAD
    with again._transaction() as connection:
        assert "trace" not in connection.exec_driver_sql("SELECT * FROM events").keys()  # noqa: SIM118
    again.append([record(2)])
    again.close()


def test_a_database_of_a_newer_irongrid_is_refused_and_left_alone(
    target: str, record: MakeRecord, next_revision: Callable[[str], Path]
) -> None:
    store = open_store(target, holder="a test")
    store.append([record(1)])
    upgrade(store._connection, "9999", [next_revision("pass")])
    store.close()

    with pytest.raises(StoreError, match=r"'9999'.*newer Irongrid"):
        open_store(target, holder="a test")
    with pytest.raises(StoreError, match=r"'9999'.*newer Irongrid"):
        open_reader(target)


def test_a_reader_does_not_upgrade(tmp_path: Path) -> None:
    (tmp_path / "irongrid.db").touch()

    with pytest.raises(StoreError, match="start the server"):
        open_reader(tmp_path / "irongrid.db")


def test_a_restart_does_not_load_alembic(sqlite_target: str) -> None:
    open_store(sqlite_target, holder="a test").close()
    code = (
        "import sys; from irongrid.store import open_store;"
        "open_store(sys.argv[1], holder='a test').close(); print('alembic' in sys.modules)"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code, sqlite_target], capture_output=True, text=True, check=True
    )

    assert loaded.stdout == "False\n"
