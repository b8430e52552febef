"""Alembic's entry: the caller hands over its connection, so no address is ever read here."""

from __future__ import annotations

from alembic import context

from materializationengine.storage.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # CAVE's own `alembic_version` in `public` stays CAVE's.
    version_table="alembic_version",
    version_table_schema="matengine",
    include_schemas=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
