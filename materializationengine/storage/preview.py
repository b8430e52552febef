"""The first rows of a frozen table, for whoever only wants to see what it is like."""

from __future__ import annotations

from typing import Any

from ..domain.schemas import Column, SqlType, schema
from .annotation_rows import read_rows
from .read_pool import ReadPool
from .sql import quote, sql
from .tables import position_expressions, qualified
from .version_registry import Version, VersionTable


def first_rows(pool: ReadPool, version: Version, table: VersionTable, most: int) -> list[dict[str, Any]]:
    """At most so many rows, as they lie: ids and values of a merged table, values alone of a split one."""
    kind = schema(table.schema)
    columns = kind.flat_columns() if version.is_merged else kind.annotation_columns()
    statement = sql(
        "relations",
        "first_rows",
        columns=", ".join(_expression(column) for column in columns),
        table=qualified(table.name),
        most=str(most),
    )
    with pool.reading(version.database, in_order=True) as reading:
        return read_rows(columns, reading.table(statement))


def _expression(column: Column) -> str:
    if column.type is SqlType.POINTZ:
        return position_expressions(column.name)
    return f"a.{quote(column.name)}" + ("::text" if column.type is SqlType.TIMESTAMP else "")
