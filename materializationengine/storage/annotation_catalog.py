"""The annotation tables of a live database: listed, described, made and removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from ..domain.datastack import Resolution
from ..domain.errors import BadRequest, TableExists, UnknownTable
from ..domain.schemas import Schema
from ..kernel.columns import Connection
from .annotation_tables import create_annotation_table
from .annotations import HeldTable, stamp
from .models import AnnotationTable, Permission
from .sql import sql
from .tables import qualified


@dataclass(frozen=True, slots=True)
class NewTable:
    """A table to be made, as its author describes it."""

    name: str
    schema: Schema
    description: str
    user_id: str
    resolution: Resolution
    reference_table: str | None = None
    notice_text: str | None = None
    flat_segmentation_source: str | None = None
    write_permission: Permission = Permission.PRIVATE
    read_permission: Permission = Permission.PUBLIC


CHANGEABLE = frozenset(
    {
        "description",
        "notice_text",
        "user_id",
        "flat_segmentation_source",
        "write_permission",
        "read_permission",
    }
)
"""What may be changed of a table once it is there: a resolution would move every point."""


def names(session: Session) -> list[str]:
    """Tables that are not deleted, sorted."""
    return [table.table_name for table in session.scalars(_living())]


def find(session: Session, name: str) -> AnnotationTable:
    """One table that is not deleted. Raises UnknownTable naming those there are."""
    found = session.scalars(_living().where(AnnotationTable.table_name == name)).first()
    if found is None:
        there = ", ".join(names(session)[:20]) or "none"
        raise UnknownTable(f"there is no annotation table {name!r}; there are {there}", field="table_name")
    return found


def _living() -> Select[AnnotationTable]:
    return (
        select(AnnotationTable)
        .where(AnnotationTable.deleted.is_(None), AnnotationTable.valid.is_not(False))
        .order_by(AnnotationTable.table_name)
    )


def create(connection: Connection, table: NewTable) -> str:
    """Make a table with its metadata, in the caller's transaction, and return its name.

    Raises TableExists, BadRequest, UnknownTable.
    """
    if connection.value(sql("annotations", "table_exists"), qualified(table.name), table.name):
        raise TableExists(
            f"a table {table.name!r} exists, or existed and is part of older versions; choose another name",
            field="table_name",
        )
    _check_reference(connection, table)
    created = stamp(connection)
    create_annotation_table(connection, table.name, table.schema, table.reference_table)
    connection.execute(
        sql("annotations", "insert_table"),
        *(table.schema.name, table.name, created, table.user_id, table.description, table.notice_text),
        *(table.reference_table, table.flat_segmentation_source, *table.resolution),
        *(table.write_permission.value, table.read_permission.value),
    )
    return table.name


def _check_reference(connection: Connection, table: NewTable) -> None:
    target = table.reference_table
    if not table.schema.is_reference:
        if target is not None:
            raise BadRequest(
                f"schema {table.schema.name} refers to no other table; leave reference_table out",
                field="metadata.table_metadata.reference_table",
            )
        return
    field = "metadata.table_metadata.reference_table"
    if target is None:
        raise BadRequest(f"schema {table.schema.name} refers to rows of another table; name it", field=field)
    if target == table.name:
        raise BadRequest("a table cannot refer to itself", field=field)
    # Its row is locked, so that the target is not removed meanwhile.
    if connection.one(sql("annotations", "hold_table"), target) is None:
        raise UnknownTable(f"there is no annotation table {target!r} to refer to", field=field)


def change(session: Session, table: AnnotationTable, changes: Mapping[str, Any]) -> None:
    """Change what may be changed of a table's metadata, and commit. Raises BadRequest for anything else."""
    for name in changes:
        if name not in CHANGEABLE:
            allowed = ", ".join(sorted(CHANGEABLE))
            raise BadRequest(f"metadata.{name} cannot be changed; {allowed} can", field=f"metadata.{name}")
    for name, value in changes.items():
        setattr(table, name, value)
    table.last_modified = func.timezone("utc", func.clock_timestamp())
    session.commit()


def remove(connection: Connection, held: HeldTable) -> None:
    """Mark a table as deleted: versions of earlier moments keep it, later ones do not have it."""
    connection.execute(sql("annotations", "delete_table"), held.name, held.stamp)
