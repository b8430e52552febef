"""The building of a frozen version, in a database that nobody reads yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import psycopg2.extensions

from ..domain.errors import ConfigurationError, WritersStillOpen
from ..domain.plan import TablePlan
from ..domain.ports import Ids
from ..domain.schemas import Column, schema
from ..kernel import moments
from ..kernel.columns import copy_between, read_bigints, write_bigints
from ..kernel.trace import Threads
from . import rest_rows
from .engines import Cluster
from .live_database import TEMPLATE
from .rest_rows import RowsOf
from .sql import PARALLEL, literal, quote, sql
from .tables import Shape, create_table, qualified, row_hash, select_shape, visible

VERSION_OF = "matengine: version of "
"""Begins the comment of a build, and of the version that it becomes; the live database's name follows."""

RootsOf = Callable[[Ids], tuple[Ids, Ids]]
"""Given distinct supervoxels, those whose root is known at the version's moment, and that root."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What a set of rows is known by: their number and an order-free hash of their values."""

    rows: int
    text: str


@dataclass(frozen=True, slots=True)
class TableCopy:
    """One frozen table to copy: its shape, the live tables behind it, and whether roots must be asked anew."""

    shape: Shape
    annotation: TablePlan
    segmentation: str | None
    roots_of: RootsOf | None = None
    rows_of: RowsOf | None = None
    """Where annotation rows are read from the annotation service instead of from the live table."""


def create_build(cluster: Cluster, build: str, live: str) -> None:
    """CREATE DATABASE unless it is there: its name belongs to one run and token, and making it is atomic.

    Its comment names the live database, by which a build is known whose live database is gone.
    """
    with closing(cluster.raw(purpose="create build")) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (build,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {quote(build)} TEMPLATE {quote(TEMPLATE)}")
            cursor.execute(f"COMMENT ON DATABASE {quote(build)} IS {literal(VERSION_OF + live)}")


def drop_build(cluster: Cluster, build: str) -> None:
    """Drop a build and end whoever is in it."""
    with closing(cluster.raw(purpose="drop build")) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quote(build)} WITH (FORCE)")


def end_sessions(cluster: Cluster, build: str) -> None:
    """End every session of the build database; a worker that lost its unit has nothing left to write to."""
    cluster.forget(build)
    with closing(cluster.raw(purpose="end sessions of a build")) as admin, admin, admin.cursor() as cursor:
        cursor.execute(sql("frozen", "end_sessions"), (build,))


class Snapshot:
    """One moment of the live database, shared by many readers as long as this object holds it."""

    def __init__(self, cluster: Cluster, live: str, as_of: datetime) -> None:
        self._cluster, self.live, self._as_of = cluster, live, moments.naive(as_of)
        self._holder = cluster.raw(live, "snapshot")
        self._holder.set_session(isolation_level="REPEATABLE READ")
        self.name = ""

    def __enter__(self) -> Snapshot:
        with self._holder.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            ((self.name,),) = cursor.fetchall()
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.close()

    def reader(self) -> psycopg2.extensions.connection:
        """A connection that sees what the snapshot sees; it may fill temporary tables of its own."""
        connection = self._cluster.raw(self.live, "read snapshot")
        connection.set_session(isolation_level="REPEATABLE READ")
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION SNAPSHOT " + literal(self.name))
            cursor.execute("SET LOCAL work_mem = '256MB'")
        return connection

    def marks(self) -> dict[str, datetime | None]:
        """`last_updated` of every segmentation table, as the snapshot has it."""
        with closing(self.reader()) as connection, connection.cursor() as cursor:
            cursor.execute(sql("frozen", "marks"))
            return {name: None if mark is None else moments.aware(mark) for name, mark in cursor.fetchall()}

    @property
    def moment(self) -> str:
        """The version's moment as an SQL literal."""
        return f"timestamp {literal(self._as_of.isoformat(sep=' '))}"


def wait_for_writers(cluster: Cluster, live: str, as_of: datetime, patience: float, pause: float = 0.05) -> None:
    """Wait until no transaction that began at or before the moment can still commit a row stamped before it.

    Raises WritersStillOpen, naming the sessions, after `patience` seconds; ConfigurationError where they are hidden.
    """
    deadline = time.monotonic() + patience
    with closing(cluster.raw(live, "wait for writers")) as connection:
        connection.autocommit = True
        _refuse_blindness(connection)
        while writers := _open_writers(connection, as_of):
            if time.monotonic() > deadline:
                named = ", ".join(f"{name or 'unnamed'} (pid {pid}, since {since})" for name, pid, since in writers)
                raise WritersStillOpen(f"{WritersStillOpen.__doc__} Open after {patience:g} s: {named}")
            time.sleep(pause)


def _refuse_blindness(connection: psycopg2.extensions.connection) -> None:
    """Raises ConfigurationError where other roles' sessions are hidden: a writer among them would go unseen."""
    with connection.cursor() as cursor:
        cursor.execute(sql("roles", "hidden_sessions"))
        ((hidden,),) = cursor.fetchall()
    if hidden:
        user = connection.info.user
        raise ConfigurationError(
            f"role {user} cannot see when {hidden} sessions of other roles began, so no moment is surely over; "
            f"GRANT pg_read_all_stats TO {user}, as `matengine db roles` does"
        )


def _open_writers(connection: psycopg2.extensions.connection, as_of: datetime) -> list[tuple[str, int, datetime]]:
    with connection.cursor() as cursor:
        cursor.execute(sql("frozen", "open_writers"), (moments.naive(as_of),))
        return list(cursor.fetchall())


def clear(cluster: Cluster, build: str) -> None:
    """Drop every table of the build: a copy that starts again starts from one new snapshot."""
    end_sessions(cluster, build)
    with closing(cluster.raw(build, "clear build")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql("frozen", "user_tables"))
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {qualified(name)} CASCADE")


def drop_table(cluster: Cluster, build: str, table: str) -> None:
    """Drop one table of the build, to be made another way."""
    with closing(cluster.raw(build, f"drop {table}")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {qualified(table)}")


def copy_table(cluster: Cluster, snapshot: Snapshot, build: str, copy: TableCopy) -> Digest:
    """Stream one table into the build, sorted, and return the digest of what the snapshot held."""
    with closing(snapshot.reader()) as source, Threads(1) as beside:
        roots = None if copy.roots_of is None else _load_roots(source, snapshot, copy, copy.roots_of)
        home = "public" if copy.rows_of is None else _stage_rows(source, snapshot, copy.annotation, copy.rows_of)
        select = select_shape(copy.shape, copy.annotation.name, copy.segmentation, snapshot.moment, roots, home)
        if roots is not None or copy.rows_of is not None:
            # Only this session has the roots and rows that were asked.
            _stream(cluster, source, build, copy.shape, select)
            return _held(source, select, copy.shape)
        # While the copy sorts there is a processor free.
        held = beside.submit(_held_by, snapshot, select, copy.shape)
        _stream(cluster, source, build, copy.shape, select)
        return held.result()


def _stream(cluster: Cluster, source: psycopg2.extensions.connection, build: str, shape: Shape, select: str) -> None:
    names = ", ".join(quote(name) for name in shape.names)
    with closing(cluster.raw(build, f"copy {shape.table}")) as target, target, target.cursor() as cursor:
        cursor.execute(create_table(shape.table, shape.columns))
        copy_between(
            source,
            f"COPY ({select}) TO STDOUT (FORMAT binary)",
            target,
            f"COPY {qualified(shape.table)} ({names}) FROM STDIN (FORMAT binary, FREEZE)",
        )


def _held_by(snapshot: Snapshot, select: str, shape: Shape) -> Digest:
    with closing(snapshot.reader()) as connection:
        return _held(connection, select, shape)


def _held(connection: psycopg2.extensions.connection, select: str, shape: Shape) -> Digest:
    return digest(connection, named_select(select, shape.columns), shape.columns)


def _stage_rows(source: psycopg2.extensions.connection, snapshot: Snapshot, plan: TablePlan, rows_of: RowsOf) -> str:
    rest_rows.stage(source, plan.name, schema(plan.schema), snapshot.moment, rows_of)
    return rest_rows.TEMPORARY


def named_select(select: str, columns: tuple[Column, ...]) -> str:
    """The selection with its columns named, and unsorted: a digest needs no order."""
    names = ", ".join(quote(column.name) for column in columns)
    return f"SELECT * FROM ({select.rpartition(' ORDER BY ')[0]}) AS t ({names})"


def _load_roots(source: psycopg2.extensions.connection, snapshot: Snapshot, copy: TableCopy, roots_of: RootsOf) -> str:
    tables = f"{qualified(copy.segmentation or '')} s JOIN {qualified(copy.annotation.name)} a ON a.id = s.id"
    shown = visible("a", snapshot.moment, has_valid=copy.shape.has_valid)
    parts = " UNION ALL ".join(
        f"SELECT s.{quote(point.supervoxel)} AS supervoxel FROM {tables} WHERE {shown}" for point in copy.shape.points
    )
    with source.cursor() as cursor:
        # No count runs beside this copy, so it and the look at the supervoxels have a processor to spare.
        cursor.execute(PARALLEL)
    supervoxels = read_bigints(source, sql("frozen", "distinct_supervoxels", parts=parts))
    with source.cursor() as cursor:
        cursor.execute(sql("frozen", "create_roots_at"))
    write_bigints(source, "pg_temp.roots_at", roots_of(supervoxels))
    with source.cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX ON pg_temp.roots_at (supervoxel)")
        cursor.execute("ANALYZE pg_temp.roots_at")
    return "pg_temp.roots_at"


def table_digest(cluster: Cluster, build: str, table: str, columns: tuple[Column, ...]) -> Digest:
    """The digest of a table of the build."""
    with closing(cluster.raw(build, f"digest {table}")) as connection:
        return digest(connection, f"SELECT * FROM {qualified(table)}", columns)


def digest(connection: psycopg2.extensions.connection, select: str, columns: tuple[Column, ...]) -> Digest:
    """The digest of a selection; `columns` may be some of its columns."""
    with connection.cursor() as cursor:
        cursor.execute(sql("frozen", "digest", row_hash=row_hash(columns), select=select))
        ((rows, mixed, total),) = cursor.fetchall()
    return Digest(rows, f"{mixed & 0xFFFFFFFFFFFFFFFF:016x}{total & 0xFFFFFFFFFFFFFFFF:016x}")
