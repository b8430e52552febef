"""Views: SQL objects that people made in a database, and what is known of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..domain.datastack import Resolution
from ..domain.errors import UnknownTable
from ..domain.query_plan import Source
from ..domain.schemas import Column, Role, Schema, SqlType
from . import literals
from .models import AnalysisView
from .read_pool import ReadPool
from .sql import sql

_TYPES = {
    "bigint": SqlType.BIGINT,
    "integer": SqlType.INTEGER,
    "smallint": SqlType.INTEGER,
    "double precision": SqlType.DOUBLE,
    "real": SqlType.DOUBLE,
    "numeric": SqlType.DOUBLE,
    "boolean": SqlType.BOOLEAN,
    "character varying": SqlType.TEXT,
    "character": SqlType.TEXT,
    "text": SqlType.TEXT,
    "date": SqlType.TIMESTAMP,
    "timestamp without time zone": SqlType.TIMESTAMP,
    "timestamp with time zone": SqlType.TIMESTAMP,
}
"""What the columns of a view may be; a point is a position, and any other type is told as its text."""

Columns = dict[str, tuple[Column, ...]]


def columns_of(pool: ReadPool, database: str, names: Sequence[str]) -> Columns:
    """The columns of those of some relations that the database has, by name; one statement."""
    with pool.reading(database) as reading:
        found = reading.table(sql("relations", "columns", names=literals.array(tuple(names), "text")))
    columns: Columns = {}
    for row in found.to_pylist():
        column = Column(row["name"], _type(row["type"]), Role.VALUE)
        columns[row["relation"]] = (*columns.get(row["relation"], ()), column)
    return columns


def _type(word: str) -> SqlType:
    if word.startswith("geometry"):
        return SqlType.POINTZ if word == "geometry" or word.startswith("geometry(Point") else SqlType.TEXT
    return _TYPES.get(re.sub(r"\(\d+(,\d+)?\)", "", word), SqlType.TEXT)


def listed(session: Session, pool: ReadPool, datastack: str, database: str) -> list[tuple[AnalysisView, Columns]]:
    """The views of a datastack that a database has, by name, each with its columns."""
    statement = select(AnalysisView).where(AnalysisView.datastack_name == datastack)
    known = list(session.scalars(statement.order_by(AnalysisView.table_name)))
    if not known:
        return []
    columns = columns_of(pool, database, [view.table_name for view in known])
    return [(view, columns) for view in known if view.table_name in columns]


def find(session: Session, pool: ReadPool, datastack: str, database: str, name: str) -> tuple[AnalysisView, Source]:
    """One view as a query sees it. Raises UnknownTable naming those there are."""
    views = listed(session, pool, datastack, database)
    for view, columns in views:
        if view.table_name == name:
            return view, Source(name, Schema(name, ()), resolution(view), view=columns[name])
    there = ", ".join(view.table_name for view, _ in views) or "none"
    raise UnknownTable(f"there is no view {name!r}; there are {there}", field="view_name")


def resolution(view: AnalysisView) -> Resolution:
    """Nanometers per unit of its positions."""
    return view.voxel_resolution_x, view.voxel_resolution_y, view.voxel_resolution_z
