"""Alembic runs this file to upgrade; `store/migrate.py` hands it an open connection."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # Both databases roll back DDL; Alembic must be told for SQLite.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
