"""The words in which the catalogue is written: one call is one field.

A field is required unless it is wrapped in `optional`. `annotation` puts `valid` first, `reference` puts
`valid` and `target_id` first, which is where almost every schema type has them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from .fields import Field, Point, PointKind, Role, SqlType, Value

Fields = tuple[Field, ...]
_F = TypeVar("_F", Value, Point)

_POSITION = Value("position", SqlType.POINTZ, Role.POSITION, indexed=True)
_SUPERVOXEL = Value("supervoxel_id", SqlType.BIGINT, Role.SUPERVOXEL, required=False)
_ROOT = Value("root_id", SqlType.BIGINT, Role.ROOT, required=False, indexed=True)
_CHUNK = Value("dependent_chunk", SqlType.BIGINT)
_LEVEL = Value("level", SqlType.BIGINT, required=False)

SPATIAL = PointKind("SpatialPoint", (_POSITION,))
BOUND = PointKind("BoundSpatialPoint", (_POSITION, _SUPERVOXEL, _ROOT))
DERIVED = PointKind("DerivedSpatialPoint", (_POSITION, _SUPERVOXEL, _ROOT, _CHUNK, _LEVEL))

VALID = Value("valid", SqlType.BOOLEAN, Role.VALID, required=False)
TARGET = Value("target_id", SqlType.BIGINT, Role.TARGET, indexed=True)


def annotation(*fields: Field) -> Fields:
    """A schema type of its own."""
    return (VALID, *fields)


def reference(*fields: Field) -> Fields:
    """A schema type whose rows point to rows of another table."""
    return (VALID, TARGET, *fields)


def sp(name: str) -> Point:
    """A free point."""
    return Point(name, SPATIAL)


def bsp(name: str) -> Point:
    """A point bound to a supervoxel and, through it, to a root id."""
    return Point(name, BOUND)


def dsp(name: str) -> Point:
    """A bound point computed from a chunk of the graph."""
    return Point(name, DERIVED)


def integer(name: str, choices: tuple[int, ...] = ()) -> Value:
    """A 32-bit integer."""
    return Value(name, SqlType.INTEGER, choices=choices)


def bigint(name: str) -> Value:
    """A 64-bit integer: an id that the engine does not follow."""
    return Value(name, SqlType.BIGINT)


def number(name: str) -> Value:
    """A double."""
    return Value(name, SqlType.DOUBLE)


def boolean(name: str) -> Value:
    """True or false."""
    return Value(name, SqlType.BOOLEAN)


def text(name: str, *choices: str) -> Value:
    """A text, where `choices` are given one of them."""
    return Value(name, SqlType.TEXT, choices=choices)


def user(name: str) -> Value:
    """The id of whoever wrote the row. The server fills it in, so no client has to."""
    return Value(name, SqlType.BIGINT, Role.USER, required=False)


def optional(field: _F) -> _F:
    """The same field, which a client may leave out. All parts of an optional point become optional."""
    return replace(field, required=False)


def indexed(value: Value) -> Value:
    """The same field with a B-tree on its column."""
    return replace(value, indexed=True)
