"""Rows of an annotation table that were read over REST, staged beside the snapshot that they are joined with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import psycopg2.extensions

from ..domain.schemas import Column, Schema, SqlType
from ..kernel.columns import read_bigints
from .sql import quote, sql
from .tables import has_valid, qualified, visible

RowsOf = Callable[[Sequence[int]], Sequence[dict[str, Any]]]
"""Given ids, whole rows in that order as the annotation service sends them."""

_BATCH = 10_000
"""Rows staged with one statement."""

TEMPORARY = "pg_temp"
"""The schema in which the rows stand, for the rest of the reader's transaction."""


def stage(source: psycopg2.extensions.connection, table: str, kind: Schema, moment: str, rows_of: RowsOf) -> None:
    """Ask for every row that the snapshot shows at a moment, and stage it under the name of its table.

    The snapshot says which rows there are; what is in them, their history included, is what the service says.
    """
    shown = visible("a", moment, has_valid=has_valid(kind))
    ids = read_bigints(source, sql("annotations", "visible_ids", table=qualified(table), shown=shown)).tolist()
    columns = kind.annotation_columns()
    statement = sql(
        "annotations",
        "stage_rest_rows",
        table=qualified(table, TEMPORARY),
        names=", ".join(quote(column.name) for column in columns),
        values=", ".join(_value(column) for column in columns),
        definitions=", ".join(f"{quote(column.name)} {_sent(column)}" for column in columns),
    )
    with source.cursor() as cursor:
        cursor.execute(sql("annotations", "create_rest_rows", staged=quote(table), table=qualified(table)))
        for start in range(0, len(ids), _BATCH):
            cursor.execute(statement, (json.dumps(rows_of(ids[start : start + _BATCH])),))


def _sent(column: Column) -> str:
    """The type in which a column travels."""
    match column.type:
        case SqlType.POINTZ:
            return "float8[]"
        case SqlType.TIMESTAMP:
            return "timestamptz"
    return column.type.value


def _value(column: Column) -> str:
    name = f"r.{quote(column.name)}"
    match column.type:
        case SqlType.POINTZ:
            return f"CASE WHEN {name} IS NOT NULL THEN ST_MakePoint({name}[1], {name}[2], {name}[3]) END"
        case SqlType.TIMESTAMP:
            return f"{name} AT TIME ZONE 'utc'"
    return name
