"""What a query must know of its tables, in one statement and one round trip, asked anew by every query.

Permissions, notices and versions change at any time, so nothing is remembered. Whatever is missing is left to the
rooms that tell which names there are: `version_registry` and `live_tables`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    DateTime,
    Row,
    Select,
    String,
    and_,
    bindparam,
    exists,
    func,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import aliased
from sqlalchemy.orm.attributes import instance_dict

from ..domain.datastack import Datastack
from ..kernel import moments
from .engines import Cluster
from .live_tables import LiveTable, there
from .models import AnalysisTable, AnalysisVersion, AnnotationTable, Base, FrozenTable, SegmentationTable, VersionStatus
from .prepared import Prepared
from .version_registry import Version, VersionTable, as_table, as_version

Model = TypeVar("Model", bound=Base)
_Asked = Select[*tuple[Any, ...]]


_LARGEST = 2**31 - 1
"""The largest number that a version can have: its column is an integer, and so is the parameter of what was planned."""


@dataclass(frozen=True, slots=True)
class Found:
    """A version that can be read, and the tables of it that were named, in the order of the names."""

    version: Version
    tables: list[VersionTable]
    contents: tuple[object, ...]
    """What the rows are known by: the version, its revision, and the digest of each table."""


def of_version(cluster: Cluster, stack: Datastack, number: int, names: Sequence[str]) -> Found | None:
    """A version and some of its tables; None unless it can be read and has them all."""
    if number > _LARGEST:
        return None
    about = {"datastack": stack.name, "number": number, "pcg_table": stack.pcg_table, "names": list(names)}
    rows = _rows(cluster, stack.aligned_volume, _version_asked(), about)
    row = _model(AnalysisVersion, rows[0], 0) if rows else None
    if row is None:
        return None
    version = as_version(row, _model(AnalysisVersion, rows[0], 1))
    known = {table.name: table for table in map(_table, rows) if table is not None}
    if version.status is not VersionStatus.AVAILABLE or not version.valid or not known.keys() >= set(names):
        return None
    found = [known[name] for name in names]
    return Found(version, found, (version.id, rows[0].revision, *(table.digest for table in found)))


def of_moment(cluster: Cluster, stack: Datastack, names: Sequence[str], at: datetime) -> list[LiveTable] | None:
    """Some live tables as they were at a moment, in the order of the names.

    None where one of them was not there, and for a datastack that only shows versions of another one.
    """
    about = {"datastack": stack.name, "pcg_table": stack.pcg_table, "names": list(names), "at": moments.naive(at)}
    rows = _rows(cluster, stack.aligned_volume, _moment_asked(), about)
    if not rows or rows[0].virtual:
        return None
    found = [(_model(AnnotationTable, row, 0), row.beside is not None) for row in rows]
    known = {table.table_name: LiveTable(table, beside) for table, beside in found if table is not None}
    return [known[name] for name in names] if known.keys() >= set(names) else None


def _rows(
    cluster: Cluster, database: str, statement: Prepared, about: dict[str, object], again: bool = True
) -> Sequence[Row[*tuple[Any, ...]]]:
    try:
        with cluster.lookups(database).connect() as connection:
            return statement.rows(connection, about)
    except DBAPIError as error:
        # A kept connection may have died unused; its whole pool is new after this.
        if not (again and error.connection_invalidated):
            raise
    return _rows(cluster, database, statement, about, again=False)


_REVISION: ColumnElement[int] = literal_column(
    "(SELECT coalesce(max(r.revision), 0) FROM matengine.version_revision r "
    "WHERE r.analysisversion_id = coalesce(analysisversion.parent_version, analysisversion.id))"
).label("revision")
"""How often the version was mended."""


@cache
def _names(kind: type[Base]) -> tuple[str, ...]:
    return tuple(column.key for column in kind.__table__.columns)


@cache
def _start(part: int) -> int:
    """Where a part of a row of `_of_version` begins."""
    parts = (AnalysisVersion, AnalysisVersion, AnalysisTable, AnnotationTable, SegmentationTable, FrozenTable)
    return sum(len(_names(kind)) for kind in parts[:part])


def _model(kind: type[Model], row: Row[*tuple[Any, ...]], part: int) -> Model | None:
    """A part of a row as an object of no session; None where the join found nothing."""
    start, names = _start(part), _names(kind)
    if row[start] is None:
        return None
    # As a session loads it: its constructor tells of every attribute, and takes longer than the statement (m).
    made = cast(Model, inspect(kind).class_manager.new_instance())
    instance_dict(made).update(zip(names, row[start : start + len(names)], strict=True))
    return made


def _table(row: Row[*tuple[Any, ...]]) -> VersionTable | None:
    listed, annotation = _model(AnalysisTable, row, 2), _model(AnnotationTable, row, 3)
    if listed is None or annotation is None:
        return None
    return as_table(listed, annotation, _model(SegmentationTable, row, 4), _model(FrozenTable, row, 5))


@cache
def _version_asked() -> Prepared:
    """Built and planned once: either takes longer than the database does to answer (m)."""
    return Prepared("version_asked", _of_version())


@cache
def _moment_asked() -> Prepared:
    return Prepared("moment_asked", _of_moment())


def _of_version() -> _Asked:
    parent = aliased(AnalysisVersion)
    names: BindParameter[Any] = bindparam("names", type_=ARRAY(String))
    of_segmentation = and_(
        SegmentationTable.annotation_table == AnnotationTable.table_name,
        SegmentationTable.pcg_table_name == bindparam("pcg_table", type_=String),
    )
    counted = and_(
        FrozenTable.analysisversion_id == func.coalesce(AnalysisVersion.parent_version, AnalysisVersion.id),
        FrozenTable.table_name == AnalysisTable.table_name,
    )
    listed = and_(
        AnalysisTable.analysisversion_id == AnalysisVersion.id,
        AnalysisTable.valid.is_(True),
        AnalysisTable.table_name == func.any(names),
    )
    return (
        select(
            *(AnalysisVersion, parent, AnalysisTable, AnnotationTable, SegmentationTable),
            *(FrozenTable, _REVISION),
        )
        .outerjoin(parent, parent.id == AnalysisVersion.parent_version)
        .outerjoin(AnalysisTable, listed)
        .outerjoin(AnnotationTable, AnnotationTable.table_name == AnalysisTable.table_name)
        .outerjoin(SegmentationTable, of_segmentation)
        .outerjoin(FrozenTable, counted)
        .where(
            AnalysisVersion.datastack == bindparam("datastack", type_=String),
            AnalysisVersion.version == bindparam("number"),
        )
    )


def _of_moment() -> _Asked:
    names: BindParameter[Any] = bindparam("names", type_=ARRAY(String))
    beside = and_(
        SegmentationTable.annotation_table == AnnotationTable.table_name,
        SegmentationTable.pcg_table_name == bindparam("pcg_table", type_=String),
    )
    shown = AnalysisVersion.datastack == bindparam("datastack", type_=String)
    own = exists().where(shown, AnalysisVersion.parent_version.is_(None))
    virtual = and_(exists().where(shown), ~own)
    return (
        select(AnnotationTable, SegmentationTable.id.label("beside"), virtual.label("virtual"))
        .outerjoin(SegmentationTable, beside)
        .where(there(bindparam("at", type_=DateTime)), AnnotationTable.table_name == func.any(names))
    )
