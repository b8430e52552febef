"""Rows of a segmentation table that have a supervoxel and no root, or a root that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from ..domain.plan import TablePlan
from ..domain.schemas import BoundPoint, schema
from ..kernel import moments
from ..kernel.columns import Connection
from .segmentation_rows import stage_owed
from .sql import quote, sql
from .tables import qualified

Range = tuple[int, int, int]
"""First id, last id, and how many rows between them lack a root."""


def _points(table: TablePlan) -> tuple[BoundPoint, ...]:
    return schema(table.schema).points


def _names(table: TablePlan) -> dict[str, str]:
    gaps = (f"(s.{quote(p.supervoxel)} IS NOT NULL AND s.{quote(p.root)} IS NULL)" for p in _points(table))
    return {"segmentation": qualified(table.segmentation or ""), "rootless": f"({' OR '.join(gaps)})"}


def ranges(connection: Connection, table: TablePlan, batch: int) -> list[Range]:
    """Ranges that hold `batch` such rows each, however far apart those lie; sorts the ids of all of them."""
    rows = connection.rows(sql("given", "rootless_ranges", **_names(table)), batch)
    return [(first, last, size) for first, last, size in rows]


def extent(connection: Connection, table: TablePlan) -> Range | None:
    """The one range that holds all such rows, None where there is none; sorts nothing."""
    row = connection.one(sql("given", "rootless_extent", **_names(table)))
    return None if row is None or not row[2] else (row[0], row[1], row[2])


def read(connection: Connection, table: TablePlan, first: int, last: int) -> pa.Table:
    """Such rows in [first, last]: `id`, and per point its supervoxel and root."""
    columns = ", ".join(f"s.{quote(p.supervoxel)}, s.{quote(p.root)}" for p in _points(table))
    return connection.table(sql("given", "rootless_rows", **_names(table), columns=columns), first, last)


def note(connection: Connection, table: TablePlan, window: tuple[int, int], owed: pa.Table, moment: datetime) -> None:
    """Keep which roots are still owed, and forget those that are there now."""
    stage_owed(connection, owed)
    connection.execute(sql("live", "note_unresolved"), table.segmentation, moments.naive(moment))
    for point in _points(table):
        statement = sql("given", "settle_given", segmentation=_names(table)["segmentation"], root=quote(point.root))
        connection.execute(statement, table.segmentation, point.root, *window)


def remove(
    connection: Connection, table: TablePlan, pcg_table: str, roots: Sequence[int], moment: datetime
) -> dict[str, int]:
    """Set given roots to NULL, forget their history, note that they are owed; returns rows by column.

    The caller's transaction holds the table's metadata row FOR UPDATE.
    """
    removed = {}
    for point in _points(table):
        names = {
            "segmentation": _names(table)["segmentation"],
            "supervoxel": quote(point.supervoxel),
            "root": quote(point.root),
        }
        stamp = moments.naive(moment)
        connection.execute(sql("given", "note_removed", **names), table.segmentation, point.root, stamp, list(roots))
        for statement in ("forget_history", "forget_held"):
            connection.execute(sql("given", statement, **names), pcg_table, list(roots))
        removed[point.root] = int(connection.value(sql("given", "remove_roots", **names), list(roots)))
    return removed
