"""Live tables as they were at a moment: which there were, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BindParameter, ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from ..domain.datastack import Datastack
from ..domain.errors import UnknownTable
from ..domain.names import segmentation_table
from ..domain.query_plan import Source
from ..domain.schemas import schema
from ..kernel import moments
from .models import AnnotationTable, SegmentationTable


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A live table; `looked_up` says whether its segmentation table is there."""

    annotation: AnnotationTable
    looked_up: bool

    def source(self, stack: Datastack) -> Source:
        """The table as a query sees it."""
        known = self.annotation
        kind = schema(known.schema_type)
        resolution = (known.voxel_resolution_x, known.voxel_resolution_y, known.voxel_resolution_z)
        beside = segmentation_table(known.table_name, stack.pcg_table) if self.looked_up else None
        return Source(known.table_name, kind, resolution, beside, split=True, live=True)


def tables_at(session: Session, stack: Datastack, names: tuple[str, ...], at: datetime) -> list[LiveTable]:
    """Some tables of the moment, in the order of `names`. Raises UnknownTable naming those there were."""
    rows = session.execute(_tables(stack, at).where(AnnotationTable.table_name.in_(names)))
    known = {annotation.table_name: LiveTable(annotation, beside is not None) for annotation, beside in rows}
    for name in names:
        if name not in known:
            there = ", ".join(names_at(session, at)) or "none"
            told = f"at {at.isoformat()} there was no table {name!r}; there were {there}"
            raise UnknownTable(told, field="table")
    return [known[name] for name in names]


def names_at(session: Session, at: datetime) -> list[str]:
    """The names of the tables of a moment, sorted."""
    return list(
        session.scalars(select(AnnotationTable.table_name).where(there(moments.naive(at))).order_by("table_name"))
    )


def _tables(stack: Datastack, at: datetime) -> Select[AnnotationTable, int]:
    beside = and_(
        SegmentationTable.annotation_table == AnnotationTable.table_name,
        SegmentationTable.pcg_table_name == stack.pcg_table,
    )
    return (
        select(AnnotationTable, SegmentationTable.id)
        .outerjoin(SegmentationTable, beside)
        .where(there(moments.naive(at)))
    )


def there(moment: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Law 1 for tables: a legacy one that is not valid and has no time of removal is left out. `moment` is naive."""
    living = and_(AnnotationTable.deleted.is_(None), AnnotationTable.valid.is_not(False))
    return and_(AnnotationTable.created <= moment, or_(AnnotationTable.deleted > moment, living))
