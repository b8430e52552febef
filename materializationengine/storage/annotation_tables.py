"""Live annotation tables: what is known of them, and the making of their segmentation tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..domain.datastack import Datastack
from ..domain.errors import BadName, UnknownTable
from ..domain.names import segmentation_table
from ..domain.plan import TablePlan
from ..domain.schemas import Role, Schema, schema
from ..kernel import moments
from ..kernel.columns import Connection
from . import tables
from .sql import quote, sql


@dataclass(frozen=True, slots=True)
class SegmentationState:
    """How far a segmentation table is: every root in it is the root at `last_updated`."""

    table: str
    last_updated: datetime | None


def table_plans(
    connection: Connection, datastack: Datastack, existing_at: datetime | None = None
) -> tuple[TablePlan, ...]:
    """Every annotation table of the volume that is not deleted, or that existed at a moment, by name."""
    rows = connection.rows(
        sql("live", "annotation_tables"), None if existing_at is None else moments.naive(existing_at)
    )
    return tuple(_plan(datastack, *row) for row in rows)


def table_plan(connection: Connection, datastack: Datastack, name: str) -> TablePlan:
    """One of them. Raises UnknownTable."""
    for plan in table_plans(connection, datastack):
        if plan.name == name:
            return plan
    raise UnknownTable(f"there is no table {name!r} in {datastack.aligned_volume}", field="table_name")


def is_taken(connection: Connection, name: str) -> bool:
    """Whether a table, deleted or not, or anything else has that name."""
    if connection.one("SELECT 1 FROM annotation_table_metadata WHERE table_name = $1", name):
        return True
    return bool(connection.value("SELECT to_regclass($1) IS NOT NULL", tables.qualified(name)))


def _plan(
    datastack: Datastack, name: str, schema_type: str, reference: str | None, x: float, y: float, z: float
) -> TablePlan:
    bound = schema(schema_type).has_segmentation
    segmentation = segmentation_table(name, datastack.pcg_table) if bound else None
    return TablePlan(name, schema_type, (x, y, z), segmentation, reference)


def segmentation_state(connection: Connection, table: str, lock: str = "") -> SegmentationState | None:
    """The metadata row of a segmentation table, None where there is none.

    `lock` is "FOR SHARE" for an ingest, which needs `last_updated` to stand still, and "FOR UPDATE" for the one
    that moves it.
    """
    row = connection.one(sql("live", "segmentation_state", lock=lock), table)
    if row is None:
        return None
    return SegmentationState(table, None if row[0] is None else moments.aware(row[0]))


def create_segmentation_table(connection: Connection, datastack: Datastack, table: TablePlan) -> None:
    """Make the segmentation table and its metadata row, in the caller's transaction. Safe to run twice.

    It has its primary key only; `index_segmentation_table` completes it, before or after the first rows. Raises BadName
    where another annotation table has that name for its own: `a` with graph `b__c`, and `a__b` with graph `c`.
    """
    if table.segmentation is None:
        return
    owner = connection.one(sql("live", "segmentation_owner"), table.segmentation)
    if owner is not None and owner != (table.name,):
        told = f"table {table.name!r} cannot be bound to {datastack.pcg_table!r}"
        raise BadName(f"{told}: {table.segmentation} holds the ids of {owner[0]!r}; choose another name", field="table")
    if owner is not None:
        return
    kind = schema(table.schema)
    connection.execute(tables.create_table(table.segmentation, kind.segmentation_columns()))
    connection.execute(tables.add_primary_key(table.segmentation))
    connection.execute(
        sql("live", "insert_segmentation_metadata"),
        *(table.schema, table.segmentation, datastack.segmentation_source, datastack.pcg_table, table.name),
    )


def is_bare(connection: Connection, table: TablePlan) -> bool:
    """Whether a segmentation table has its primary key and no index beside it."""
    name = tables.qualified(table.segmentation or "")
    return int(connection.value(sql("live", "count_indexes"), name)) <= 1


def refer_to_annotations(connection: Connection, table: TablePlan) -> None:
    """Add the foreign key to the annotation table, NOT VALID, unless there is one; its lock lasts to the commit."""
    name = table.segmentation or ""
    if not connection.value(sql("live", "has_foreign_key"), tables.qualified(name)):
        connection.execute(tables.foreign_key(name, "id", table.name)[0])


def index_segmentation_table(connection: Connection, table: TablePlan) -> None:
    """Build what a bare segmentation table lacks, and check its foreign key; nothing is done twice.

    Other connections read on. The foreign key is added where it is missing, which keeps writers of the annotation
    table out until the commit: of a table with rows see to it beforehand, in a transaction of its own.
    """
    refer_to_annotations(connection, table)
    name = table.segmentation or ""
    for index in tables.table_indexes(schema(table.schema).segmentation_columns(), name):
        connection.execute(tables.create_index(index, name))
    for (key,) in connection.rows(sql("live", "unchecked_foreign_keys"), tables.qualified(name)):
        connection.execute(f"ALTER TABLE {tables.qualified(name)} VALIDATE CONSTRAINT {quote(key)}")


def create_annotation_table(connection: Connection, name: str, kind: Schema, reference: str | None = None) -> None:
    """Make an empty annotation table with its key, indexes and foreign key, in the caller's transaction."""
    columns = kind.annotation_columns()
    connection.execute(tables.create_table(name, columns))
    connection.execute(tables.add_primary_key(name))
    connection.execute(tables.add_identity(name))
    for index in tables.table_indexes(columns, name):
        connection.execute(tables.create_index(index, name))
    target = next((column for column in columns if column.role is Role.TARGET), None)
    if target is not None and reference is not None:
        for statement in tables.foreign_key(name, target.name, reference):
            connection.execute(statement)


def move_last_updated(connection: Connection, table: str, as_of: datetime) -> bool:
    """Move `last_updated` forward to `as_of`; False, and nothing done, where it stands there or later."""
    return connection.one(sql("live", "move_last_updated"), table, moments.naive(as_of)) is not None


def newest_version_moment(connection: Connection) -> datetime | None:
    """The moment of the newest version of any datastack on this volume."""
    newest = connection.value(sql("live", "newest_version_moment"))
    return None if newest is None else moments.aware(newest)
