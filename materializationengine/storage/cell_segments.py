"""`cellsegment`: every root id that a version's tables refer to, as the incremental script of 2019 kept it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

import numpy as np
import psycopg2.extensions

from ..domain.ports import Ids
from ..domain.schemas import BoundPoint
from ..kernel.columns import copy_between, write_bigints
from .engines import Cluster
from .incremental_base import Base
from .sql import quote, sql
from .tables import qualified

TABLE = "cellsegment"
EXPIRED = "cellsegment_expired"
"""Roots that are to leave; in the build only, until they have."""

FACT = "cell_segments"
"""Stands among the facts of a version's tables where the version has the table, so that whoever makes its lost
database anew knows."""


def create(cluster: Cluster, build: str, base: Base, expired: Ids) -> bool:
    """Make both tables, with the roots of the base's. Returns whether the base had a `cellsegment`."""
    inherited = base.has_table(TABLE)
    with closing(cluster.raw(build, "cellsegment")) as target, target, target.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {qualified(TABLE)} (id bigint NOT NULL)")
        if inherited:
            _inherit(base, target)
        cursor.execute(f"ALTER TABLE {qualified(TABLE)} ADD PRIMARY KEY (id)")
        # Background is no root, but the rows that lie in it refer to it.
        cursor.execute(f"INSERT INTO {qualified(TABLE)} VALUES (0) ON CONFLICT DO NOTHING")
        cursor.execute(f"CREATE TABLE {qualified(EXPIRED)} (root bigint NOT NULL)")
        write_bigints(target, qualified(EXPIRED), (expired,))
    return inherited


def _inherit(base: Base, target: psycopg2.extensions.connection) -> None:
    with closing(base.reader()) as source:
        copy_between(
            source,
            f"COPY (SELECT id::bigint FROM {qualified(TABLE)}) TO STDOUT (FORMAT binary)",
            target,
            f"COPY {qualified(TABLE)} (id) FROM STDIN (FORMAT binary)",
        )


def make(cluster: Cluster, build: str, columns: Iterable[tuple[str, BoundPoint]]) -> None:
    """Make the table of a build that is whole: background, and every root of these columns. Safe to run again."""
    with closing(cluster.raw(build, "cellsegment")) as target, target, target.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {qualified(TABLE)}")
        cursor.execute(f"CREATE TABLE {qualified(TABLE)} (id bigint PRIMARY KEY)")
        cursor.execute(f"INSERT INTO {qualified(TABLE)} VALUES (0)")
        for table, point in columns:
            add_column(cursor, table, point)


def there(cluster: Cluster, build: str) -> bool:
    """Whether a build has the table."""
    return Base(cluster, build).has_table(TABLE)


def add(cluster: Cluster, build: str, roots: Ids) -> None:
    """Add roots that were put into some table."""
    with closing(cluster.raw(build, "cellsegment")) as target, target, target.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE added (id bigint) ON COMMIT DROP")
        write_bigints(target, "pg_temp.added", (roots,))
        cursor.execute(sql("incremental", "add_cell_segments", source="SELECT id FROM pg_temp.added"))


def add_all(cluster: Cluster, build: str, table: str, points: tuple[BoundPoint, ...]) -> None:
    """Add every root of a table of the build."""
    with closing(cluster.raw(build, "cellsegment")) as target, target, target.cursor() as cursor:
        for point in points:
            add_column(cursor, table, point)


def add_column(cursor: psycopg2.extensions.cursor, table: str, point: BoundPoint) -> None:
    """Add every root of one column."""
    root = quote(point.root)
    source = f"SELECT DISTINCT {root} AS id FROM {qualified(table)} WHERE {root} IS NOT NULL"
    cursor.execute(sql("incremental", "add_cell_segments", source=source))


def is_open(cluster: Cluster, build: str) -> bool:
    """Whether the expired roots have yet to leave."""
    with closing(cluster.raw(build, "cellsegment")) as target, target.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (qualified(EXPIRED),))
        return cursor.fetchone() == (True,)


def referenced(cluster: Cluster, build: str, table: str, point: BoundPoint) -> tuple[Ids, Ids]:
    """Roots among the expired ones that a column refers to, each with a supervoxel that does; supervoxels first."""
    names = {"table": qualified(table), "root": quote(point.root), "supervoxel": quote(point.supervoxel)}
    with closing(cluster.raw(build, "cellsegment")) as target, target.cursor() as cursor:
        cursor.execute(sql("incremental", "still_referenced", **names))
        pairs = np.array(cursor.fetchall(), dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def settle(cluster: Cluster, build: str, alive: Ids) -> int:
    """Delete the expired roots but those that are alive, and return how many there were."""
    with closing(cluster.raw(build, "cellsegment")) as target, target, target.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE alive (root bigint) ON COMMIT DROP")
        write_bigints(target, "pg_temp.alive", (alive,))
        cursor.execute(sql("incremental", "delete_cell_segments"))
        deleted = int(cursor.rowcount)
        cursor.execute(f"DROP TABLE {qualified(EXPIRED)}")
        return deleted
