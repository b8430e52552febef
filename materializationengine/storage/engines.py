"""One PostgreSQL server and the ways into its databases."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import psycopg2
import psycopg2.extensions
from sqlalchemy import Connection as Session
from sqlalchemy import Engine, create_engine, event

from ..domain.errors import StorageUnavailable
from ..kernel import trace
from ..kernel.columns import Connection, Door, DriverError
from ..kernel.urls import libpq, masked, normalize
from .sql import literal

POOL = {"pool_pre_ping": True, "pool_recycle": 1800}
LOOKUPS = {"pool_size": 16, "max_overflow": 16, "pool_use_lifo": True, "pool_reset_on_return": None}

DOORS = 16
"""Databases of which a process remembers the types; builds come and go."""


def signature(application: str) -> str:
    """A statement that puts the ids of what is served into pg_stat_activity until the transaction ends."""
    return f"SET LOCAL application_name = {literal(trace.application_name(application))}"


def signing(name: str) -> str:
    """The same as a condition, always true, that a statement tests once: it saves a reader the round trip."""
    return f"(SELECT set_config('application_name', {literal(name)}, true)) IS NOT NULL"


def sign(connection: Connection, application: str) -> None:
    """Let a connection show whom it serves, until its transaction ends."""
    connection.execute(signature(application))


class Cluster:
    """The server that holds the home database, every live database and every frozen one.

    Every connection names itself, gives up waiting for a lock, and has the server look every few seconds
    whether the client is still there: so a killed worker's statement ends with it, and its locks are free.
    """

    def __init__(
        self, url: str, *, application: str, lock_timeout: float = 30.0, pool_size: int = 5, overflow: int = 10
    ) -> None:
        self.url, self.application = url, application
        self.home = libpq(url).rpartition("/")[2].partition("?")[0] or "postgres"
        self._options: Mapping[str, object] = {
            "connect_timeout": "10",
            "client_connection_check_interval": "2s",
            "lock_timeout": f"{int(lock_timeout * 1000)}ms",
            "tcp_keepalives_idle": "15",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "timezone": "UTC",
        }
        self._pool = {**POOL, "pool_size": pool_size, "max_overflow": overflow}
        self._engines: dict[str, Engine] = {}
        self._lookups: dict[str, Engine] = {}
        self._doors: dict[str, Door] = {}
        self._guard = threading.Lock()

    def name(self, purpose: str = "") -> str:
        """What a connection for `purpose` calls itself, the ids of what it serves apart."""
        return f"{self.application} {purpose}".strip()

    def uri(self, database: str | None = None, purpose: str = "") -> str:
        """libpq's address of a database; `purpose` is shown by pg_stat_activity."""
        application = trace.application_name(self.name(purpose))
        return libpq(self.url, database=database or self.home, application=application, options=self._options)

    def connect(self, database: str | None = None, purpose: str = "") -> Connection:
        """A new Arrow connection. Raises StorageUnavailable."""
        try:
            connection = self._door(database or self.home).open()
            connection.execute(f"SET application_name = {literal(trace.application_name(self.name(purpose)))}")
            connection.commit()
        except DriverError as error:
            raise StorageUnavailable(f"{masked(self.url)}, database {database}: {error}") from error
        return connection

    def _door(self, database: str) -> Door:
        with self._guard:
            # Taken out and put in again: the oldest comes first.
            door = self._doors.pop(database, None) or Door(self.uri(database))
            self._doors[database] = door
            if len(self._doors) > DOORS:
                self._doors.pop(next(iter(self._doors))).close()
        return door

    def raw(self, database: str | None = None, purpose: str = "") -> psycopg2.extensions.connection:
        """A new psycopg2 connection, for raw COPY, snapshots and CREATE DATABASE. Raises StorageUnavailable."""
        try:
            return psycopg2.connect(self.uri(database, purpose))
        except psycopg2.OperationalError as error:
            raise StorageUnavailable(f"{masked(self.url)}, database {database}: {error}") from error

    def engine(self, database: str | None = None) -> Engine:
        """SQLAlchemy's pool of one database, kept for the life of this object."""
        name = database or self.home
        with self._guard:
            if name not in self._engines:
                self._engines[name] = made = create_engine(normalize(self.uri(name)), **self._pool)
                event.listen(made, "begin", self._sign)
            return self._engines[name]

    def lookups(self, database: str) -> Engine:
        """SQLAlchemy's pool for single statements: nothing is begun, so that each takes one round trip and no more."""
        with self._guard:
            if database not in self._lookups:
                # Their tables are small: one plan serves every question, and is made once (`prepared`).
                options = {**self._options, "plan_cache_mode": "force_generic_plan"}
                # Its statements are over before anybody could look for whom they serve.
                uri = libpq(self.url, database=database, application=self.name("look-up"), options=options)
                self._lookups[database] = create_engine(normalize(uri), isolation_level="AUTOCOMMIT", **LOOKUPS)
            return self._lookups[database]

    def _sign(self, session: Session) -> None:
        """A pooled connection serves one request after another: each transaction names its own."""
        if trace.request_id():
            session.exec_driver_sql(signature(self.name()))

    def pool_use(self) -> dict[str, dict[str, int]]:
        """Connections of each pool: `busy` and `idle`."""
        with self._guard:
            pools = {f"session {name}": engine.pool for name, engine in self._engines.items()}
            pools |= {f"look-up {name}": engine.pool for name, engine in self._lookups.items()}
        counted = {name: (pool.checkedout(), pool.checkedin()) for name, pool in pools.items()}  # type: ignore[attr-defined]
        return {name: {"busy": busy, "idle": idle} for name, (busy, idle) in counted.items()}

    def forget(self, database: str) -> None:
        """Close the pool of a database that is about to be renamed or dropped."""
        with self._guard:
            gone = [pools.pop(database, None) for pools in (self._engines, self._lookups)]
            door = self._doors.pop(database, None)
        for engine in gone:
            if engine is not None:
                engine.dispose()
        if door is not None:
            door.close()

    def close(self) -> None:
        """Close every pool."""
        for name in {*self._engines, *self._lookups, *self._doors}:
            self.forget(name)
