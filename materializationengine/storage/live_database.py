"""Live databases: found by their mark, made on first use, brought to the newest layout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError

from ..domain.errors import ConfigurationError, NewerDatabase, StorageUnavailable
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

    Raises StorageUnavailable, NewerDatabase, and ConfigurationError for rows that forbid it.
    """
    try:
        create(cluster, database)
        migrate(cluster, database)
    except (OperationalError, psycopg2.OperationalError) as error:
        raise StorageUnavailable(f"database {database} cannot be brought up to date: {error}") from error
    except IntegrityError as error:
        told = " ".join(str(error.orig).split())
        raise ConfigurationError(f"database {database} holds rows that the layout does not allow: {told}") from error


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


def make_template(cluster: Cluster) -> None:
    """The empty database with PostGIS from which others are copied, unless it is there; wants an administrator."""
    admin = cluster.raw(purpose="create template")
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            _under_lock(cursor, TEMPLATE, lambda: _create_template(cluster, cursor))
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


def migrate(cluster: Cluster, database: str, *, marked: bool = True) -> None:
    """Bring the layout up to date, and mark the database as a live one. Raises NewerDatabase."""
    with cluster.engine(database).connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(hashtext('matengine migrate'))"))
        try:
            _upgrade(connection, database)
            if marked:
                connection.execute(text(_mark(database)))
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(hashtext('matengine migrate'))"))
            connection.commit()


def mark(cluster: Cluster, database: str) -> None:
    """Let everybody know a database as a live one."""
    with cluster.engine().begin() as connection:
        connection.execute(text(_mark(database)))


def _mark(database: str) -> str:
    return f"COMMENT ON DATABASE {quote(database)} IS {literal(MARK)}"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a live database stands; `current` is None where the engine never was in it."""

    database: str
    current: str | None
    newest: str

    @property
    def newer(self) -> bool:
        """Whether a newer release made it."""
        return self.current is not None and self.current not in known_layouts()

    @property
    def state(self) -> str:
        """What to do about it, in a word or two."""
        if self.newer:
            return "newer than this release"
        return "up to date" if self.current == self.newest else "to be upgraded"


def layout(cluster: Cluster, database: str) -> Layout:
    """The layout of a database, which is only read. Raises StorageUnavailable."""
    try:
        with cluster.engine(database).connect() as connection:
            return Layout(database, _current(connection), known_layouts()[0])
    except OperationalError as error:
        raise StorageUnavailable(f"database {database} does not answer") from error


def refuse_newer(cluster: Cluster, database: str) -> None:
    """Raises NewerDatabase where a newer release made the database, StorageUnavailable."""
    _refuse(layout(cluster, database).current, database)


@cache
def known_layouts() -> tuple[str, ...]:
    """Every layout that this code knows, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files(__package__).joinpath("migrations")))
    return config


def _current(connection: Connection) -> str | None:
    options = {"version_table_schema": "matengine"}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _refuse(current: str | None, database: str) -> None:
    if current is not None and current not in known_layouts():
        raise NewerDatabase(
            f"database {database} is at layout {current}, newer than this release knows ({known_layouts()[0]}); "
            f"install the release that upgraded it"
        )


def _upgrade(connection: Connection, database: str) -> None:
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS matengine"))
    _refuse(_current(connection), database)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
