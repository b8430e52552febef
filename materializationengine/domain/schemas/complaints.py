"""From marshmallow's tree of messages to one sentence that names each field and what would be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from marshmallow.exceptions import SCHEMA

from ..errors import BadAnnotation
from .fields import Column, Point
from .flatten import HISTORY, ID, Schema
from .strict import UNKNOWN

Path = tuple[str, ...]

MOST_TOLD = 8
"""Faults named in one message; the rest are counted."""


def complaint(schema: Schema, messages: Any, row: int) -> BadAnnotation:
    """The error to raise for one annotation, `row` being its place in the posted list, counted from 0."""
    found = list(_leaves(messages))
    told = "; ".join(_sentence(schema, path, message) for path, message in found[:MOST_TOLD])
    if len(found) > MOST_TOLD:
        told += f"; and {len(found) - MOST_TOLD} more"
    field = ".".join(found[0][0]) or None
    return BadAnnotation(f"annotations[{row}] ({schema.name}): {told}", field=field, row=row)


def _leaves(messages: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Each message with the names that lead to it; an error of an object as a whole has the object's path."""
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from _leaves(inner, path if key == SCHEMA else (*path, str(key)))
    else:
        for message in messages:
            yield path, message


def _sentence(schema: Schema, path: Path, message: str) -> str:
    said = _unknown(schema, path) if message == UNKNOWN else message
    return f"{'.'.join(path)} {said}" if path else said


def _unknown(schema: Schema, path: Path) -> str:
    """What to do about a field that is not to be posted."""
    columns = {column.name: column for column in (*HISTORY, *schema.flat_columns())}
    column = columns.get("_".join(path))
    if column is None:
        return f"{UNKNOWN}; {_nearest(schema, path)}"
    if column.is_segmentation:
        return "is looked up by the engine; leave it out"
    if column in HISTORY:
        return "is kept by the engine; leave it out"
    return f"is written inside its point: {_nested_form(column)}"


def _nearest(schema: Schema, path: Path) -> str:
    known = _known(schema, path[:-1])
    near = get_close_matches(path[-1], known, n=1)
    return f"perhaps {near[0]!r}" if near else f"known are {', '.join(known)}"


def _known(schema: Schema, path: Path) -> list[str]:
    """What a client may write at that place: the schema's fields, or the parts of a point."""
    for field in schema.fields:
        if isinstance(field, Point) and field.name == ".".join(path):
            return [part.name for part in field.kind.parts if part.from_client]
    return [ID.name, *(field.name for field in schema.fields)]


def _nested_form(column: Column) -> str:
    part = column.name.removeprefix(f"{column.point}_")
    return f'{{"{column.point}": {{"{part}": ...}}}}'
