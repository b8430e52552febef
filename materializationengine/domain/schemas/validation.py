"""Annotations as clients post them, checked and brought into the shape of table rows, and back.

A posted synapse is `{"pre_pt": {"position": [x, y, z]}, "post_pt": ..., "ctr_pt": ..., "size": 7.0}`, with
positions in voxels of the table's resolution. A row has one value for each column of the annotation table but
the history and `valid`, which are the engine's to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import marshmallow
from marshmallow import ValidationError

from ..errors import BadAnnotation
from .complaints import complaint
from .fields import Field, Point, Role, SqlType, Value
from .flatten import Schema, part_column
from .strict import StrictSchema, nested, value_field

Record = Mapping[str, Any]
Row = dict[str, Any]

_ID = Value("id", SqlType.BIGINT, Role.ID, required=False)
_NO_ID = {_ID.name: ["is missing: an update names the annotation that it replaces"]}


def load_annotation(
    schema: Schema,
    record: Record,
    *,
    row: int = 0,
    partial: bool = False,
    user_id: int | None = None,
) -> Row:
    """Check one posted annotation and return its column values.

    Parameters
    ----------
    schema
        The schema type of the table.
    record
        What the client posted. `valid` is accepted and dropped, since a new row is always valid.
    row
        Place of the annotation in the posted list, from 0, for the error message.
    partial
        For an update: `id` must be there, all else may be missing, and only the columns given are returned.
        Otherwise a column left out is `None`, and `id` is returned only if it was given.
    user_id
        Who posts; goes into the column of role USER, whatever the client wrote there.

    Returns
    -------
    dict
        Column name to value: int, float, bool, str, a position as a tuple of three floats, or `None`.

    Raises
    ------
    BadAnnotation
        Naming the row and every field that does not fit.
    """
    try:
        loaded: Record = _loader(schema).load(record, partial=partial)
    except ValidationError as error:
        raise complaint(schema, error.messages, row) from None
    has_id = loaded.get(_ID.name) is not None
    if partial and not has_id:
        raise complaint(schema, _NO_ID, row)
    values = {_ID.name: loaded[_ID.name]} if has_id else {}
    for field in schema.fields:
        values.update(_flat(field, loaded, partial=partial, user_id=user_id))
    return values


def load_annotations(
    schema: Schema,
    records: Iterable[Record],
    *,
    partial: bool = False,
    user_id: int | None = None,
) -> list[Row]:
    """Check a posted list, see `load_annotation`; an id given twice is refused as well."""
    rows = [
        load_annotation(schema, record, row=number, partial=partial, user_id=user_id)
        for number, record in enumerate(records)
    ]
    _refuse_repeated_ids(schema, rows)
    return rows


def dump_annotation(schema: Schema, row: Record) -> dict[str, Any]:
    """The nested form of a row: what a client would post to make it. Nulls and looked-up ids are left out."""
    out = {"id": row["id"]} if row.get("id") is not None else {}
    for field in schema.fields:
        out.update(_nest(field, row))
    return out


@cache
def _loader(schema: Schema) -> marshmallow.Schema:
    declared = {_ID.name: value_field(_ID)}
    for field in schema.fields:
        declared.update(_declared(field))
    return StrictSchema.from_dict(declared, name=schema.name)()


def _declared(field: Field) -> dict[str, marshmallow.fields.Field[Any]]:
    if isinstance(field, Value):
        return {field.name: value_field(field)}
    parts = {part.name: value_field(part) for part in _client_parts(field)}
    return {field.name: nested(parts, required=field.required)} if field.name else parts


def _client_parts(point: Point) -> Sequence[Value]:
    return [part for part in point.kind.parts if part.from_client]


def _flat(field: Field, loaded: Record, *, partial: bool, user_id: int | None) -> Row:
    if isinstance(field, Point):
        return _flat_point(field, loaded, partial=partial)
    if field.role is Role.VALID:
        return {}
    if field.role is Role.USER:
        return {field.name: user_id}
    return {field.name: loaded.get(field.name)} if field.name in loaded or not partial else {}


def _flat_point(point: Point, loaded: Record, *, partial: bool) -> Row:
    """Columns of a point. One that was set to null sets all of its columns to null, in an update as well."""
    inner = loaded.get(point.name, {}) if point.name else loaded
    fill = inner is None or not partial
    parts = inner or {}
    return {
        part_column(point, part): parts.get(part.name) for part in _client_parts(point) if fill or part.name in parts
    }


def _nest(field: Field, row: Record) -> dict[str, Any]:
    if isinstance(field, Value):
        value = row.get(field.name)
        return {} if value is None else {field.name: value}
    given = {part.name: row.get(part_column(field, part)) for part in _client_parts(field)}
    parts = {name: value for name, value in given.items() if value is not None}
    if "position" in parts:
        parts["position"] = list(parts["position"])
    if not field.name:
        return parts
    return {field.name: parts} if parts else {}


def _refuse_repeated_ids(schema: Schema, rows: Sequence[Row]) -> None:
    first: dict[int, int] = {}
    for number, row in enumerate(rows):
        if "id" not in row:
            continue
        if (before := first.setdefault(row["id"], number)) != number:
            told = f"id {row['id']} is that of annotations[{before}]"
            raise BadAnnotation(f"annotations[{number}] ({schema.name}): {told}", field="id", row=number)
