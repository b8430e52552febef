"""Keys and indexes of a frozen table, built side by side after its rows are there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing

import psycopg2.extensions

from ..domain.names import bounded, btree_index, spatial_index
from ..domain.schemas import Column, Role, SqlType
from ..kernel.trace import Threads
from .engines import Cluster
from .sql import literal, quote, sql
from .tables import qualified

PAGES_PER_RANGE = 8
SAMPLED_RANGES = 40
CLUSTERED = 0.05
"""A column counts as clustered where a range of pages covers, on average, at most this share of the volume."""

_BTREE_ROLES = frozenset({Role.ROOT, Role.TARGET, Role.CREATED, Role.DELETED})


def build_indexes(
    cluster: Cluster, build: str, table: str, columns: Sequence[Column], kind: str, threads: int
) -> list[str]:
    """Build every index of a table; safe to run again. Returns what was built, the positions' kind included.

    `kind` is "measured", "brin" or "gist". The primary key is left to `add_keys`.
    """
    brin, gist = _spatial(cluster, build, table, columns, kind)
    statements = [_unique(table), *(_btree(table, column) for column in columns if _wants_btree(column))]
    if brin:
        statements.append(_brin(table, brin))
    statements += [_gist(table, column) for column in gist]
    with Threads(threads) as pool:
        list(pool.map(lambda statement: _run(cluster, build, statement), statements))
    _run(cluster, build, f"ANALYZE {qualified(table)}")
    return [f"brin({', '.join(brin)})"] * bool(brin) + [f"gist({column})" for column in gist]


def add_keys(cluster: Cluster, build: str, tables: Iterable[str]) -> None:
    """Turn the unique indexes on `id` into primary keys; safe to run again.

    It reads nothing, but locks each table against everybody for that moment: so it comes after verification, whose
    passes over a large table last longer than anybody waits for a lock.
    """
    for table in tables:
        _run(cluster, build, _primary_key(table))


def _run(cluster: Cluster, build: str, statement: str) -> None:
    with closing(cluster.raw(build, "index")) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL maintenance_work_mem = '256MB'")
        cursor.execute(statement)


def _wants_btree(column: Column) -> bool:
    return column.type is not SqlType.POINTZ and (column.indexed or column.role in _BTREE_ROLES)


def _unique(table: str) -> str:
    name = quote(bounded(f"{table}_pkey"))
    return f"CREATE UNIQUE INDEX IF NOT EXISTS {name} ON {qualified(table)} (id)"


def _primary_key(table: str) -> str:
    """Turn the unique index into the primary key, unless an earlier attempt did."""
    name = bounded(f"{table}_pkey")
    return (
        f"DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = {literal(name)} "
        f"AND conrelid = {literal(qualified(table))}::regclass) THEN "
        f"ALTER TABLE {qualified(table)} ADD CONSTRAINT {quote(name)} PRIMARY KEY USING INDEX {quote(name)}; "
        "END IF; END $$"
    )


def _btree(table: str, column: Column) -> str:
    name = quote(btree_index(table, column.name))
    return f"CREATE INDEX IF NOT EXISTS {name} ON {qualified(table)} ({quote(column.name)})"


def _brin(table: str, columns: Sequence[str]) -> str:
    keys = ", ".join(f"{quote(column)} brin_geometry_inclusion_ops_3d" for column in columns)
    name = quote(bounded(f"brin_{table}_positions"))
    return (
        f"CREATE INDEX IF NOT EXISTS {name} ON {qualified(table)} USING brin ({keys}) "
        f"WITH (pages_per_range = {PAGES_PER_RANGE})"
    )


def _gist(table: str, column: str) -> str:
    name = quote(spatial_index(table, column))
    key = f"{quote(column)} gist_geometry_ops_nd"
    return f"CREATE INDEX IF NOT EXISTS {name} ON {qualified(table)} USING gist ({key})"


def _spatial(
    cluster: Cluster, build: str, table: str, columns: Sequence[Column], kind: str
) -> tuple[list[str], list[str]]:
    """Which positions BRIN serves and which need GiST (DESIGN 4: BRIN serves points near the sort point)."""
    positions = [column.name for column in columns if column.type is SqlType.POINTZ]
    if kind == "brin":
        return positions, []
    if kind == "gist":
        return [], positions
    with closing(cluster.raw(build, "measure clustering")) as connection:
        shares = {name: range_share(connection, table, name) for name in positions}
    brin = [name for name in positions if shares[name] <= CLUSTERED]
    return brin, [name for name in positions if name not in brin]


def range_share(connection: psycopg2.extensions.connection, table: str, column: str) -> float:
    """The mean share of the table's extent that a range of pages covers: 1 for rows in no spatial order.

    Reads at most `SAMPLED_RANGES` ranges, spread evenly.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql("frozen", "page_count", table=literal(qualified(table))))
        ((pages,),) = cursor.fetchall()
        step = max(PAGES_PER_RANGE, pages // SAMPLED_RANGES)
        boxes = []
        for page in range(0, pages, step):
            statement = sql("frozen", "page_range_extent", column=quote(column), table=qualified(table))
            cursor.execute(statement, (f"({page},0)", f"({page + PAGES_PER_RANGE},0)"))
            boxes += cursor.fetchall()
    return _mean_share(boxes) if len(boxes) > 1 else 1.0


def _mean_share(boxes: Sequence[tuple[float, ...]]) -> float:
    low = [min(box[axis] for box in boxes) for axis in range(3)]
    high = [max(box[axis + 3] for box in boxes) for axis in range(3)]
    total = 0.0
    for box in boxes:
        share = 1.0
        for axis in range(3):
            share *= (box[axis + 3] - box[axis] + 1) / (high[axis] - low[axis] + 1)
        total += share
    return total / len(boxes)
