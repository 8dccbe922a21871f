"""Brings a database to the newest revision; refuses one from the future.

Alembic takes a while to import, so it is loaded only when there is something to do.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from irongrid.errors import StoreError
from irongrid.store.schema import HEAD, REVISIONS

MIGRATIONS = Path(__file__).parent / "migrations"


def revision_of(connection: Connection) -> str | None:
    """The revision that the database records; None for an empty database."""
    with connection.begin():
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def check_revision(connection: Connection, name: str) -> str | None:
    """The database's revision, if this Irongrid can work with it after an upgrade.

    Raises:
        StoreError: the database belongs to a newer Irongrid.
    """
    found = revision_of(connection)
    if found is not None and found not in REVISIONS:
        raise StoreError(
            f"{name} has schema revision {found!r}, and this Irongrid knows up to {HEAD!r}: "
            "a newer Irongrid wrote it. Use that version"
        )
    return found


def migrate(connection: Connection, name: str) -> None:
    """Upgrade to the newest revision, in one transaction per step.

    Raises:
        StoreError: the database belongs to a newer Irongrid.
    """
    if check_revision(connection, name) != HEAD:
        upgrade(connection, HEAD)


def upgrade(connection: Connection, target: str, more_versions: Sequence[Path] = ()) -> None:
    """Run the revisions up to `target`; `more_versions` are further folders of revisions."""
    from alembic import command
    from alembic.config import Config

    folders = [str(folder) for folder in (MIGRATIONS / "versions", *more_versions)]
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(folders).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, target)
