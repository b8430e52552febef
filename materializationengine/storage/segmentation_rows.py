"""Rows of a segmentation table: which are missing, and the writing of what was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from ..domain.plan import TablePlan
from ..domain.ports import Ids
from ..domain.root_ids import PointLookup
from ..domain.schemas import BoundPoint, schema
from ..kernel import moments
from ..kernel.columns import Connection
from .sql import PARALLEL, quote, sql
from .tables import position_expressions, qualified


def _names(table: TablePlan) -> dict[str, str]:
    return {"annotation": qualified(table.name), "segmentation": qualified(table.segmentation or "")}


def _points(table: TablePlan) -> tuple[BoundPoint, ...]:
    return schema(table.schema).points


def missing(table: TablePlan, roots: bool = True) -> str:
    """The condition of a row that lacks an id: no row at all, or a point whose supervoxel or root is NULL.

    Without `roots` only supervoxels count.
    """
    gaps = (f"(a.{quote(p.position)} IS NOT NULL AND ({_null_ids(p, roots)}))" for p in _points(table))
    return f"(s.id IS NULL OR {' OR '.join(gaps)})"


def _null_ids(point: BoundPoint, roots: bool) -> str:
    columns = (point.supervoxel, point.root) if roots else (point.supervoxel,)
    return " OR ".join(f"s.{quote(column)} IS NULL" for column in columns)


def missing_ranges(
    connection: Connection, table: TablePlan, batch: int, roots: bool = True
) -> list[tuple[int, int, int]]:
    """(first id, last id, rows) of each batch of rows that lack an id."""
    statement = sql("live", "missing_ranges", **_names(table), missing=missing(table, roots))
    connection.execute(PARALLEL)
    return [(first, last, size) for first, last, size in connection.rows(statement, batch)]


def missing_rows(connection: Connection, table: TablePlan, first: int, last: int, roots: bool = True) -> pa.Table:
    """Rows in [first, last] that lack an id: `id`, and per point its coordinates, supervoxel and root."""
    statement = sql(
        "live", "missing_rows", **_names(table), columns=point_columns(table), missing=missing(table, roots)
    )
    return connection.table(statement, first, last)


def point_columns(table: TablePlan) -> str:
    """Per bound point its coordinates, supervoxel and root, as SQL over `a` and `s`."""
    return ", ".join(
        f"{position_expressions(p.position)}, s.{quote(p.supervoxel)}, s.{quote(p.root)}" for p in _points(table)
    )


def write_found(connection: Connection, table: TablePlan, ids: Ids, found: Sequence[PointLookup]) -> None:
    """Insert new rows and fill gaps of old ones; an id that is there is never changed."""
    columns: dict[str, pa.Array] = {"id": pa.array(ids, pa.int64())}
    for point, lookup in zip(_points(table), found, strict=True):
        columns[point.supervoxel] = pa.array(lookup.supervoxels, pa.int64(), mask=~lookup.supervoxel_known)
        columns[point.root] = pa.array(lookup.roots, pa.int64(), mask=~lookup.root_known)
    names = [quote(name) for name in columns]
    body = ", ".join(f"{name} bigint" for name in names)
    connection.execute("DROP TABLE IF EXISTS pg_temp.found")
    connection.execute(f"CREATE TEMPORARY TABLE found ({body}) ON COMMIT DROP")
    connection.append("found", pa.table(columns), temporary=True)
    filled = ", ".join(f"{name} = COALESCE(s.{name}, excluded.{name})" for name in names[1:])
    statement = sql("live", "upsert_segmentation", **_names(table), names=", ".join(names), filled=filled)
    connection.execute(statement)


def note_unresolved(
    connection: Connection, table: TablePlan, window: tuple[int, int], owed: pa.Table, moment: datetime
) -> None:
    """Keep what is still owed in a window of ids, with its reason, and forget what is not owed any more."""
    stage_owed(connection, owed)
    connection.execute(sql("live", "clear_unresolved"), table.segmentation, *window)
    connection.execute(sql("live", "note_unresolved"), table.segmentation, moments.naive(moment))


def stage_owed(connection: Connection, owed: pa.Table) -> None:
    """What is owed as `pg_temp.owed`: `annotation_id`, `column_name`, `reason`."""
    connection.execute("DROP TABLE IF EXISTS pg_temp.owed")
    connection.execute(
        "CREATE TEMPORARY TABLE owed (annotation_id bigint, column_name text, reason text) ON COMMIT DROP"
    )
    if owed.num_rows:
        connection.append("owed", owed, temporary=True)


def has_roots(connection: Connection, table: TablePlan) -> bool:
    """Whether any root is there; reads until it finds one."""
    any_root = " OR ".join(f"{quote(p.root)} IS NOT NULL" for p in _points(table))
    statement = sql("live", "has_roots", segmentation=qualified(table.segmentation or ""), any_root=any_root)
    return bool(connection.value(statement))
