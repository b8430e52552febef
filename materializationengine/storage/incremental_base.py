"""The base of an incremental version: found in the registry, compared with what is wanted, and only read."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

import psycopg2.extensions

from ..domain.datastack import Datastack
from ..domain.errors import BadMoment, UnknownVersion, VersionNotAvailable
from ..domain.names import frozen_database
from ..domain.ports import Ids
from ..kernel import moments
from ..kernel.columns import Connection, read_bigints, write_bigints
from .engines import Cluster
from .models import VersionStatus
from .sql import quote, sql
from .tables import Shape, qualified


def base_version(connection: Connection, datastack: Datastack, number: int, as_of: datetime) -> tuple[str, datetime]:
    """Database and moment of a version that another can be made from.

    Raises UnknownVersion, VersionNotAvailable, and BadMoment where `as_of` lies before the base's moment.
    """
    row = connection.one(sql("incremental", "base_version"), datastack.name, number)
    if row is None:
        raise UnknownVersion(_no_version(connection, datastack, number), field="base_version")
    status, valid, time_stamp, home, version = row
    if status != VersionStatus.AVAILABLE or not valid:
        raise VersionNotAvailable(
            f"version {number} of {datastack.name!r} is {status}, so nothing can be made from it; choose an "
            f"AVAILABLE one, or freeze in full",
            field="base_version",
        )
    moment = moments.aware(time_stamp)
    if as_of < moment:
        raise BadMoment(
            f"{as_of.isoformat()} lies before {moment.isoformat()}, the moment of base version {number}; choose an "
            f"older base or a later moment, or freeze in full",
            field="timestamp",
        )
    return frozen_database(home, version), moment


def _no_version(connection: Connection, datastack: Datastack, number: int) -> str:
    known = [str(version) for (version,) in connection.rows(sql("incremental", "version_numbers"), datastack.name)]
    there = f"the newest are {', '.join(known)}" if known else "it has none yet, so freeze in full"
    return f"datastack {datastack.name!r} has no version {number}; {there}"


def table_names(connection: Connection, datastack: Datastack, number: int) -> frozenset[str]:
    """The tables of a version, as the registry has them."""
    rows = connection.rows(sql("incremental", "version_table_names"), datastack.name, number)
    return frozenset(name for (name,) in rows)


class Base:
    """The base database. Its readers are not disturbed: everything here only reads, or fills temporary tables."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self._cluster, self.database = cluster, database

    def reader(self) -> psycopg2.extensions.connection:
        """A connection that may fill temporary tables, which a frozen database forbids unless told otherwise."""
        connection = self._cluster.raw(self.database, "read base")
        connection.set_session(readonly=False)
        return connection

    def stream(self) -> Connection:
        """A connection whose scans come in physical order."""
        connection = self._cluster.connect(self.database, "stream base")
        connection.execute("SET synchronize_seqscans = off")
        connection.execute("SET max_parallel_workers_per_gather = 0")
        return connection

    def has(self, shape: Shape) -> bool:
        """Whether the base has that table, with these columns in these types, whatever stands beside them."""
        with self._cluster.connect(self.database, "look at base") as connection:
            found = dict(connection.rows(sql("incremental", "column_types"), qualified(shape.table)))
        return all(found.get(column.name) == column.type.value for column in shape.columns)

    def has_table(self, table: str) -> bool:
        """Whether the base has a table of that name."""
        with self._cluster.connect(self.database, "look at base") as connection:
            return bool(connection.value("SELECT to_regclass($1) IS NOT NULL", qualified(table)))

    def owed_ids(self, shape: Shape) -> Ids:
        """Sorted ids of rows that lack a supervoxel or a root: an ingest may have found it since."""
        names = (quote(name) for point in shape.points for name in (point.supervoxel, point.root))
        owed = " OR ".join(f"{name} IS NULL" for name in names)
        with closing(self.reader()) as connection:
            select = sql("incremental", "owed_ids", table=qualified(shape.table), owed=owed or "false")
            found = read_bigints(connection, select)
        found.sort()
        return found

    def expired_supervoxels(self, shape: Shape, expired: Ids) -> Ids:
        """Distinct supervoxels of the table whose root is among the expired ones."""
        parts = " UNION ALL ".join(
            f"SELECT b.{quote(point.supervoxel)} AS supervoxel FROM {qualified(shape.table)} b "
            f"JOIN pg_temp.expired e ON e.root = b.{quote(point.root)}"
            for point in shape.points
        )
        with closing(self.reader()) as connection:
            fill(connection, "expired", "root", expired)
            return read_bigints(connection, sql("incremental", "expired_supervoxels", parts=parts))


def fill(connection: psycopg2.extensions.connection, table: str, column: str, ids: Ids) -> None:
    """A temporary table of distinct ids, for the rest of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE {table} ({column} bigint PRIMARY KEY) ON COMMIT DROP")
    write_bigints(connection, f"pg_temp.{table}", (ids,))
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE pg_temp.{table}")
