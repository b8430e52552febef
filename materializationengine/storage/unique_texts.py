"""The distinct texts of a table's columns."""

from __future__ import annotations

from ..domain.schemas import Schema, SqlType
from . import literals
from .read_pool import ReadPool
from .sql import quote, sql
from .tables import qualified, visible
from .version_registry import Version

Texts = dict[str, list[str | None]]


def of_live(pool: ReadPool, database: str, table: str, kind: Schema) -> Texts:
    """Of the rows of a live table that are there now."""
    return _texts(pool, database, table, kind, visible("t", "now() AT TIME ZONE 'utc'"))


def of_version(pool: ReadPool, version: Version, table: str, kind: Schema) -> Texts:
    """Of the rows of a frozen table."""
    condition = "true" if version.is_merged else _at(version)
    return _texts(pool, version.database, table, kind, condition)


def _at(version: Version) -> str:
    return visible("t", literals.timestamp(version.time_stamp))


def _texts(pool: ReadPool, database: str, table: str, kind: Schema, condition: str) -> Texts:
    names = [column.name for column in kind.flat_columns() if column.type is SqlType.TEXT]
    found: Texts = {}
    with pool.reading(database) as reading:
        for name in names:
            statement = sql(
                "relations",
                "distinct_texts",
                column=quote(name),
                table=qualified(table),
                condition=f"{condition} AND {reading.signed}",
            )
            found[name] = reading.table(statement)["value"].to_pylist()
    return found
