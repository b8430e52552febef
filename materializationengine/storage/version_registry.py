"""The reading half of the version registry: which versions there are, what they hold, and where.

Functions take a session on a live database; a request's session comes from `web.extensions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ScalarSelect, Select, String, and_, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from ..domain.datastack import Datastack, Resolution
from ..domain.errors import UnknownTable, UnknownVersion, VersionNotAvailable
from ..domain.names import frozen_database
from ..kernel import moments
from .models import AnalysisTable, AnalysisVersion, AnnotationTable, FrozenTable, Pin, SegmentationTable, VersionStatus

_READABLE = VersionStatus.AVAILABLE
_Tables = Select[AnalysisTable, AnnotationTable, SegmentationTable, FrozenTable]
_PUBLISHED = (VersionStatus.AVAILABLE, VersionStatus.EXPIRED)


@dataclass(frozen=True, slots=True)
class Version:
    """A version. `database` is where its rows are: a virtual version's are its parent's."""

    id: int
    datastack: str
    version: int
    time_stamp: datetime
    valid: bool
    expires_on: datetime | None
    parent_version: int | None
    status: VersionStatus
    is_merged: bool
    database: str

    @property
    def has_expired(self) -> bool:
        """Whether it could be read once, and its database may be gone."""
        return self.status is VersionStatus.EXPIRED or (self.status is _READABLE and not self.valid)


@dataclass(frozen=True, slots=True)
class VersionTable:
    """A table of a version with what is known of it today.

    `row_count` and `digest` are None where nobody counted; `facts` is what else its verification found.
    """

    id: int
    name: str
    schema: str
    aligned_volume: str
    valid: bool
    annotation: AnnotationTable
    segmentation: SegmentationTable | None
    row_count: int | None
    digest: str | None
    facts: Mapping[str, Any]

    @property
    def resolution(self) -> Resolution:
        """Nanometers per unit of its positions."""
        known = self.annotation
        return known.voxel_resolution_x, known.voxel_resolution_y, known.voxel_resolution_z


def versions(session: Session, datastack: str, *, expired: bool = False) -> list[Version]:
    """The versions that can be read, oldest first; with `expired` also those that could be once."""
    statuses = _PUBLISHED if expired else (_READABLE,)
    statement = _versions(datastack).where(AnalysisVersion.status.in_(statuses))
    if not expired:
        statement = statement.where(AnalysisVersion.valid.is_(True))
    rows = session.execute(statement.order_by(AnalysisVersion.version))
    return [as_version(row, parent) for row, parent in rows]


def pinned(session: Session, datastack: str) -> frozenset[int]:
    """The numbers of the versions that are kept whatever their expiry."""
    statement = select(AnalysisVersion.version).join(Pin, Pin.analysisversion_id == AnalysisVersion.id)
    return frozenset(session.scalars(statement.where(AnalysisVersion.datastack == datastack)))


def is_virtual(session: Session, datastack: str) -> bool:
    """Whether the datastack only shows versions of another one."""
    held = select(func.count(), func.count(AnalysisVersion.parent_version))
    total, virtual = session.execute(held.where(AnalysisVersion.datastack == datastack)).one()
    return bool(total) and total == virtual


def version(session: Session, datastack: str, number: int) -> Version:
    """One version, whatever its status. Raises UnknownVersion naming the newest ones."""
    found = session.execute(_one_version(), {"datastack": datastack, "number": number}).first()
    if found is None:
        known = [str(each.version) for each in versions(session, datastack)]
        there = f"the newest are {', '.join(known[-5:])}" if known else "it has none yet"
        raise UnknownVersion(f"datastack {datastack!r} has no version {number}; {there}", field="version")
    return as_version(*found)


def readable_version(session: Session, datastack: str, number: int) -> Version:
    """One version that can be queried. Raises UnknownVersion, VersionNotAvailable."""
    found = version(session, datastack, number)
    if found.has_expired:
        raise VersionNotAvailable(f"version {number} of {datastack!r} has expired", field="version")
    if found.status is not _READABLE:
        state = "is still being made" if found.status is VersionStatus.RUNNING else "failed while it was made"
        raise UnknownVersion(f"version {number} of {datastack!r} {state}", field="version")
    return found


def table_names(session: Session, found: Version) -> list[str]:
    """The names of a version's tables, sorted."""
    statement = select(AnalysisTable.table_name).where(
        AnalysisTable.analysisversion_id == found.id, AnalysisTable.valid.is_(True)
    )
    return list(session.scalars(statement.order_by(AnalysisTable.table_name)))


def tables(session: Session, datastack: Datastack, found: Version) -> list[VersionTable]:
    """A version's tables with all that is known of them, by name; one statement whatever their number."""
    rows = session.execute(_tables(datastack, found).order_by(AnalysisTable.table_name))
    return [as_table(*row) for row in rows]


def tables_of(session: Session, datastack: Datastack, number: int) -> list[VersionTable]:
    """The tables of a version named by its number, by name; one statement where it has any. Raises UnknownVersion."""
    mine = AnalysisVersion.datastack == datastack.name, AnalysisVersion.version == number
    found = select(AnalysisVersion.id).where(*mine).scalar_subquery()
    home = select(func.coalesce(AnalysisVersion.parent_version, AnalysisVersion.id)).where(*mine).scalar_subquery()
    rows = session.execute(_tables_of(datastack.pcg_table, found, home).order_by(AnalysisTable.table_name))
    return [as_table(*row) for row in rows] or tables(session, datastack, version(session, datastack.name, number))


def table(session: Session, datastack: Datastack, found: Version, name: str) -> VersionTable:
    """One table of a version. Raises UnknownTable naming those there are."""
    row = session.execute(_tables(datastack, found).where(AnalysisTable.table_name == name)).first()
    if row is None:
        raise _unknown(session, found, name)
    return as_table(*row)


def named_tables(session: Session, datastack: Datastack, found: Version, names: tuple[str, ...]) -> list[VersionTable]:
    """Some tables of a version, in the order of `names`. Raises UnknownTable."""
    about = {
        "pcg_table": datastack.pcg_table,
        "version_id": found.id,
        "home_id": found.parent_version or found.id,
        "names": names,
    }
    rows = session.execute(_some_tables(), about)
    known = {each.name: each for each in (as_table(*row) for row in rows)}
    for name in names:
        if name not in known:
            raise _unknown(session, found, name)
    return [known[name] for name in names]


def _unknown(session: Session, found: Version, name: str) -> UnknownTable:
    there = ", ".join(table_names(session, found)) or "none"
    told = f"version {found.version} of {found.datastack!r} has no table {name!r}; there are {there}"
    return UnknownTable(told, field="table_name")


def _versions(datastack: str | BindParameter[str]) -> Select[AnalysisVersion, AnalysisVersion]:
    parent = aliased(AnalysisVersion)
    return (
        select(AnalysisVersion, parent)
        .outerjoin(parent, parent.id == AnalysisVersion.parent_version)
        .where(AnalysisVersion.datastack == datastack)
    )


@cache
def _one_version() -> Select[AnalysisVersion, AnalysisVersion]:
    """Built once: every query asks it, and building takes longer than the database does to answer (m)."""
    return _versions(bindparam("datastack", type_=String)).where(AnalysisVersion.version == bindparam("number"))


def as_version(row: AnalysisVersion, parent: AnalysisVersion | None) -> Version:
    """A version out of its row, and its parent's where it is virtual."""
    home = parent or row
    return Version(
        id=row.id,
        datastack=row.datastack,
        version=row.version,
        time_stamp=moments.aware(row.time_stamp),
        valid=bool(row.valid),
        expires_on=None if row.expires_on is None else moments.aware(row.expires_on),
        parent_version=row.parent_version,
        status=row.status,
        # CAVE's column is null in rows older than itself, when every version was merged.
        is_merged=row.is_merged is not False,
        database=frozen_database(home.datastack, home.version),
    )


def _tables(datastack: Datastack, found: Version) -> _Tables:
    return _tables_of(datastack.pcg_table, found.id, found.parent_version or found.id)


@cache
def _some_tables() -> _Tables:
    """Built once, as `_one_version`."""
    found: BindParameter[int] = bindparam("version_id")
    home: BindParameter[int] = bindparam("home_id")
    tables = _tables_of(bindparam("pcg_table", type_=String), found, home)
    return tables.where(AnalysisTable.table_name.in_(bindparam("names", expanding=True)))


def _tables_of(
    pcg_table: str | BindParameter[str],
    version_id: int | BindParameter[int] | ScalarSelect[int],
    home_id: int | BindParameter[int] | ScalarSelect[int],
) -> _Tables:
    of_segmentation = and_(
        SegmentationTable.annotation_table == AnnotationTable.table_name,
        SegmentationTable.pcg_table_name == pcg_table,
    )
    counted = and_(
        FrozenTable.analysisversion_id == home_id,
        FrozenTable.table_name == AnalysisTable.table_name,
    )
    return (
        select(AnalysisTable, AnnotationTable, SegmentationTable, FrozenTable)
        .join(AnnotationTable, AnnotationTable.table_name == AnalysisTable.table_name)
        .outerjoin(SegmentationTable, of_segmentation)
        .outerjoin(FrozenTable, counted)
        .where(AnalysisTable.analysisversion_id == version_id, AnalysisTable.valid.is_(True))
    )


def as_table(
    row: AnalysisTable,
    annotation: AnnotationTable,
    segmentation: SegmentationTable | None,
    verified: FrozenTable | None,
) -> VersionTable:
    """A table of a version out of the rows that tell of it."""
    return VersionTable(
        id=row.id,
        name=row.table_name,
        schema=row.schema,
        aligned_volume=row.aligned_volume,
        valid=bool(row.valid),
        annotation=annotation,
        segmentation=segmentation,
        row_count=None if verified is None else verified.row_count,
        digest=None if verified is None else verified.digest,
        facts={} if verified is None else verified.facts,
    )
