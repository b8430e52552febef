"""What a schema is made of: values and points as a client writes them, columns as a table has them.

A column's meaning is its `Role`. Nothing in the engine reads meaning off a name: `query_root_id` of
`cell_match` is a plain value although it ends like a root id.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What a column means to the engine."""

    ID = "id"
    CREATED = "created"
    DELETED = "deleted"
    SUPERSEDED = "superseded"
    VALID = "valid"
    POSITION = "position"
    SUPERVOXEL = "supervoxel"
    ROOT = "root"
    TARGET = "target"
    USER = "user"
    VALUE = "value"


class SqlType(Enum):
    """The column types of dynamic tables, each with the word PostgreSQL has for it."""

    BIGINT = "bigint"
    INTEGER = "integer"
    DOUBLE = "double precision"
    TEXT = "character varying"
    BOOLEAN = "boolean"
    POINTZ = "geometry(PointZ)"
    TIMESTAMP = "timestamp without time zone"


SEGMENTATION_ROLES = frozenset({Role.SUPERVOXEL, Role.ROOT})
"""Roles of the columns that the engine looks up and keeps in the segmentation table."""

NOT_NULL_ROLES = frozenset({Role.ID, Role.CREATED})
"""Roles of the only columns that the database itself keeps from being null."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    `required` says that a client must give it; the database does not enforce that (see `nullable`). `point`
    is the name of the point the column belongs to, `None` for a column outside any point, and empty for the
    point that `derived_spatial_point` consists of.
    """

    name: str
    type: SqlType
    role: Role
    indexed: bool = False
    required: bool = False
    choices: tuple[str | int, ...] = ()
    point: str | None = None

    @property
    def nullable(self) -> bool:
        """Whether the database lets it be null: everything but `id` and `created`."""
        return self.role not in NOT_NULL_ROLES

    @property
    def is_segmentation(self) -> bool:
        """Whether it lies in the segmentation table."""
        return self.role in SEGMENTATION_ROLES


@dataclass(frozen=True)
class Value:
    """A plain field of a schema, or one part of a point. It becomes one column."""

    name: str
    type: SqlType
    role: Role = Role.VALUE
    required: bool = True
    indexed: bool = False
    choices: tuple[str | int, ...] = ()

    @property
    def from_client(self) -> bool:
        """Whether a client may write it: the ids of the segmentation are the engine's to look up."""
        return self.role not in SEGMENTATION_ROLES


@dataclass(frozen=True)
class PointKind:
    """A kind of nested point: the name it has in JSON schemas, and its parts in column order."""

    name: str
    parts: tuple[Value, ...]


@dataclass(frozen=True)
class Point:
    """A nested point of a schema. It becomes one column for each part of its kind, named `{point}_{part}`."""

    name: str
    kind: PointKind
    required: bool = True


Field = Value | Point
