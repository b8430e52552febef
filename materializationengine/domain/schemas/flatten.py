"""From a schema's nested fields to the columns of its three tables (workflows.md 1.5).

The annotation table holds what people wrote and the history of each row, the segmentation table the looked-up
ids, and a flat table both sides in schema order without the history: the shape of a merged frozen table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from ..names import btree_index, spatial_index
from .fields import Column, Field, Point, Role, SqlType, Value

ID = Column("id", SqlType.BIGINT, Role.ID)
HISTORY = (
    Column("created", SqlType.TIMESTAMP, Role.CREATED, indexed=True),
    Column("deleted", SqlType.TIMESTAMP, Role.DELETED, indexed=True),
    Column("superceded_id", SqlType.BIGINT, Role.SUPERSEDED),
)
"""When a row came and went, and the row that took its place (CAVE's spelling is kept)."""


@dataclass(frozen=True)
class BoundPoint:
    """A point with a place in the segmentation, and the names of its three columns."""

    name: str
    position: str
    supervoxel: str
    root: str


class IndexKind(Enum):
    """A tree over values, or an index over three-dimensional geometry."""

    BTREE = "btree"
    SPATIAL = "spatial"


@dataclass(frozen=True)
class Index:
    """One index over one column."""

    name: str
    column: str
    kind: IndexKind


@dataclass(frozen=True)
class Schema:
    """A schema type: its name and its fields in declared order."""

    name: str
    fields: tuple[Field, ...]

    @property
    def is_reference(self) -> bool:
        """Whether its rows point to rows of another table."""
        return any(column.role is Role.TARGET for column in self.flat_columns())

    @property
    def has_segmentation(self) -> bool:
        """Whether its tables come with a segmentation table."""
        return any(column.is_segmentation for column in self.flat_columns())

    @cached_property
    def points(self) -> tuple[BoundPoint, ...]:
        """The bound points in declared order; free points are not among them."""
        return tuple(
            _bound_point(field)
            for field in self.fields
            if isinstance(field, Point) and any(part.role is Role.ROOT for part in field.kind.parts)
        )

    def annotation_columns(self) -> tuple[Column, ...]:
        """Columns of the annotation table: id, history, then all that people wrote."""
        return (
            ID,
            *HISTORY,
            *(c for c in self.flat_columns()[1:] if not c.is_segmentation),
        )

    def segmentation_columns(self) -> tuple[Column, ...]:
        """Columns of the segmentation table: id, supervoxel and root of each point; none without points."""
        ids = tuple(c for c in self.flat_columns() if c.is_segmentation)
        return (ID, *ids) if ids else ()

    def flat_columns(self) -> tuple[Column, ...]:
        """Columns of a flat table: id, then both sides in schema order."""
        return self._flat

    @cached_property
    def _flat(self) -> tuple[Column, ...]:
        """Made once: a query looks for each name that it is given among them."""
        return (ID, *(column for field in self.fields for column in flatten(field)))


def flatten(field: Field) -> tuple[Column, ...]:
    """The columns that a field becomes."""
    if isinstance(field, Value):
        return (_column(field, field.name, field.required, None),)
    return tuple(
        _column(part, part_column(field, part), field.required and part.required, field.name)
        for part in field.kind.parts
    )


def part_column(point: Point, part: Value) -> str:
    """Name of the column that holds one part of a point."""
    return f"{point.name}_{part.name}" if point.name else part.name


def indexes(columns: Iterable[Column], table: str) -> tuple[Index, ...]:
    """The indexes that a table of these columns has beside its primary key, in column order."""
    return tuple(_index(column, table) for column in columns if column.indexed)


def _index(column: Column, table: str) -> Index:
    if column.type is SqlType.POINTZ:
        return Index(spatial_index(table, column.name), column.name, IndexKind.SPATIAL)
    return Index(btree_index(table, column.name), column.name, IndexKind.BTREE)


def _column(value: Value, name: str, required: bool, point: str | None) -> Column:
    return Column(name, value.type, value.role, value.indexed, required, value.choices, point)


def _bound_point(point: Point) -> BoundPoint:
    named = {part.role: part_column(point, part) for part in point.kind.parts}
    return BoundPoint(point.name, named[Role.POSITION], named[Role.SUPERVOXEL], named[Role.ROOT])
