"""Annotations between Python values, as clients send them, and Arrow columns, as tables take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..domain.schemas import Column, Role, Schema, SqlType
from ..kernel.columns import ewkb_points

Row = Mapping[str, Any]

_TYPES = {
    SqlType.BIGINT: pa.int64(),
    SqlType.INTEGER: pa.int32(),
    SqlType.DOUBLE: pa.float64(),
    SqlType.TEXT: pa.string(),
    SqlType.BOOLEAN: pa.bool_(),
    SqlType.TIMESTAMP: pa.timestamp("us"),
}


def column_type(column: Column) -> str:
    """What PostgreSQL calls the type of a column."""
    return column.type.value


def new_rows(schema: Schema, rows: Sequence[Row], ids: Sequence[int], stamp: datetime) -> pa.Table:
    """Rows to insert: the history begins at `stamp`, naive UTC."""
    columns: dict[str, pa.Array] = {}
    for column in schema.annotation_columns():
        match column.role:
            case Role.ID:
                columns[column.name] = pa.array(ids, pa.int64())
            case Role.CREATED:
                columns[column.name] = pa.array([stamp] * len(rows), pa.timestamp("us"))
            case Role.VALID:
                columns[column.name] = pa.array([True] * len(rows), pa.bool_())
            case Role.DELETED | Role.SUPERSEDED:
                pass
            case _:
                columns[column.name] = _array(column, [row.get(column.name) for row in rows])
    return pa.table(columns)


def successor_rows(columns: Sequence[Column], changes: Sequence[Row], ids: Sequence[int]) -> pa.Table:
    """Changes to stage: each value beside whether it was given, since null is a value too."""
    staged = {
        "old_id": pa.array([change["id"] for change in changes], pa.int64()),
        "new_id": pa.array(ids, pa.int64()),
    }
    for column in columns:
        staged[column.name] = _array(column, [change.get(column.name) for change in changes])
        staged[f"given {column.name}"] = pa.array([column.name in change for change in changes], pa.bool_())
    return pa.table(staged)


def _array(column: Column, values: Sequence[Any]) -> pa.Array:
    if column.type is not SqlType.POINTZ:
        return pa.array(values, _TYPES[column.type])
    points = np.array([value if value is not None else (0.0, 0.0, 0.0) for value in values], dtype=np.float64)
    known = pa.array([value is not None for value in values], pa.bool_())
    return pc.if_else(known, ewkb_points(points.reshape(-1, 3)), pa.scalar(None, pa.binary()))


def read_rows(columns: Sequence[Column], table: pa.Table) -> list[dict[str, Any]]:
    """Rows as dictionaries of flat columns; a position is a list of three, None where there is none."""
    names = [column.name for column in columns]
    values = [_values(column, table) for column in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _values(column: Column, table: pa.Table) -> list[Any]:
    if column.type is not SqlType.POINTZ:
        return table[column.name].to_pylist()
    axes = [table[f"{column.name}_{axis}"].to_pylist() for axis in "xyz"]
    return [None if place[0] is None else list(place) for place in zip(*axes, strict=True)]
