"""The tables of a datastack, searched by words; one statement however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.orm import Session, aliased

from ..kernel import moments
from .models import AnalysisTable, AnalysisVersion, AnnotationTable, FrozenTable, VersionStatus


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table, with its rows in the newest version and that version's number, None where it is in none.

    `changed` is when a row or a word of it last changed, as far as the datastack shows that.
    """

    annotation: AnnotationTable
    row_count: int | None
    version: int | None
    changed: datetime


def search(session: Session, datastack: str, words: list[str]) -> list[FoundTable]:
    """Tables in which each word stands in the name, description, schema or owner; a virtual datastack's are its own."""
    statement = _tables(datastack)
    for word in words:
        columns = (
            AnnotationTable.table_name,
            AnnotationTable.description,
            AnnotationTable.schema_type,
            AnnotationTable.user_id,
        )
        statement = statement.where(or_(*(column.icontains(word, autoescape=True) for column in columns)))
    return [_found(*row) for row in session.execute(statement.order_by(AnnotationTable.table_name))]


_Row = Select[AnnotationTable, FrozenTable, AnalysisTable, AnalysisVersion]


def _tables(datastack: str) -> _Row:
    other, readable = aliased(AnalysisVersion), _readable(AnalysisVersion, datastack)
    newest = select(func.max(other.version)).where(_readable(other, datastack)).scalar_subquery()
    virtual = func.bool_and(other.parent_version.is_not(None))
    only_shows = select(virtual).where(other.datastack == datastack).scalar_subquery()
    home = func.coalesce(AnalysisVersion.parent_version, AnalysisVersion.id)
    listed = and_(
        AnalysisTable.analysisversion_id == AnalysisVersion.id,
        AnalysisTable.table_name == AnnotationTable.table_name,
        AnalysisTable.valid.is_(True),
    )
    counted = and_(FrozenTable.analysisversion_id == home, FrozenTable.table_name == AnalysisTable.table_name)
    return (
        select(AnnotationTable, FrozenTable, AnalysisTable, AnalysisVersion)
        .select_from(AnnotationTable)
        .outerjoin(AnalysisVersion, and_(readable, AnalysisVersion.version == newest))
        .outerjoin(AnalysisTable, listed)
        .outerjoin(FrozenTable, counted)
        .where(AnnotationTable.deleted.is_(None), AnnotationTable.valid.is_not(False))
        .where(or_(func.coalesce(only_shows, false()).is_(false()), AnalysisTable.id.is_not(None)))
    )


def _readable(version: type[AnalysisVersion], datastack: str) -> ColumnElement[bool]:
    status = version.status == VersionStatus.AVAILABLE
    return and_(version.datastack == datastack, status, version.valid.is_(True))


def _found(
    annotation: AnnotationTable,
    counted: FrozenTable | None,
    listed: AnalysisTable | None,
    version: AnalysisVersion | None,
) -> FoundTable:
    number = None if listed is None or version is None else version.version
    changed = annotation.last_modified
    if version is not None and version.parent_version is not None:
        # What happened to a table after the moment that is shown is its owners' own business.
        changed = min(changed, version.time_stamp)
    return FoundTable(annotation, None if counted is None else counted.row_count, number, moments.aware(changed))
