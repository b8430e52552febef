"""Live databases: found by their mark, made on first use, brought to the newest layout."""

from __future__ import annotations

from importlib.resources import files

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from ..domain.errors import ConfigurationError, StorageUnavailable
from .engines import Cluster
from .sql import literal, quote, sql

MARK = "matengine: live database"
"""The comment by which a database is known as a live one, whatever its name."""

TEMPLATE = "template_postgis"
"""CAVE's name for an empty database with PostGIS; a copy of it saves a second over CREATE EXTENSION."""


def exists(cluster: Cluster, database: str) -> bool:
    """Whether the server has a database of that name."""
    with cluster.connect() as home:
        return home.one(sql("catalog", "database_exists"), database) is not None


def live_databases(cluster: Cluster) -> tuple[str, ...]:
    """Every live database, the home database included, which holds the runs that belong to no volume."""
    with cluster.connect() as home:
        return tuple(name for (name,) in home.rows(sql("catalog", "marked_databases"), MARK))


def ensure(cluster: Cluster, database: str) -> None:
    """Make the live database if it is missing, then migrate it. Safe to run twice, and side by side.

    Raises StorageUnavailable, and ConfigurationError for a database newer than this code.
    """
    try:
        create(cluster, database)
        migrate(cluster, database)
    except (OperationalError, psycopg2.OperationalError) as error:
        raise StorageUnavailable(f"database {database} cannot be brought up to date: {error}") from error


def create(cluster: Cluster, database: str) -> None:
    """CREATE DATABASE from the PostGIS template unless it exists."""
    admin = cluster.raw(purpose="create database")
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            _under_lock(cursor, TEMPLATE, lambda: _create_template(cluster, cursor))
            _under_lock(cursor, database, lambda: _create_from_template(cursor, database))
    finally:
        admin.close()


def _under_lock(cursor: psycopg2.extensions.cursor, name: str, deed: object) -> None:
    cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", (f"create {name}",))
    try:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
        if cursor.fetchone() is None:
            deed()  # type: ignore[operator]
    finally:
        cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", (f"create {name}",))


def _create_template(cluster: Cluster, cursor: psycopg2.extensions.cursor) -> None:
    # Whoever died between the two names left a database that nobody else wants: we hold the lock.
    cursor.execute(f"DROP DATABASE IF EXISTS {quote(TEMPLATE + '_new')} WITH (FORCE)")
    cursor.execute(f"CREATE DATABASE {quote(TEMPLATE + '_new')} TEMPLATE template0")
    inside = cluster.raw(TEMPLATE + "_new")
    try:
        with inside, inside.cursor() as extension:
            extension.execute("CREATE EXTENSION postgis")
    finally:
        inside.close()
    # The name appears only when the extension is in it.
    cursor.execute(f"ALTER DATABASE {quote(TEMPLATE + '_new')} RENAME TO {quote(TEMPLATE)}")


def _create_from_template(cursor: psycopg2.extensions.cursor, database: str) -> None:
    cursor.execute(f"CREATE DATABASE {quote(database)} TEMPLATE {quote(TEMPLATE)}")


def migrate(cluster: Cluster, database: str) -> None:
    """Bring the layout up to date. Raises ConfigurationError for a database newer than this code."""
    with cluster.engine(database).connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(hashtext('matengine migrate'))"))
        try:
            _upgrade(connection)
            connection.execute(text(f"COMMENT ON DATABASE {quote(database)} IS {literal(MARK)}"))
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(hashtext('matengine migrate'))"))
            connection.commit()


def _upgrade(connection: object) -> None:
    config = Config()
    config.set_main_option("script_location", str(files(__package__).joinpath("migrations")))
    config.attributes["connection"] = connection
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS matengine"))  # type: ignore[attr-defined]
    current = MigrationContext.configure(
        connection,  # type: ignore[arg-type]
        opts={"version_table_schema": "matengine"},
    ).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise ConfigurationError(
            f"the database is at layout {current}, newer than this code knows; install a newer release"
        )
    command.upgrade(config, "head")
