"""A bulk upload's tables: filled and indexed out of sight, then moved into place in one transaction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..domain.datastack import Datastack
from ..domain.errors import BadUpload, TableExists
from ..domain.plan import UploadPlan
from ..domain.schemas import Column, IndexKind, Role, Schema, SqlType, schema
from ..domain.upload_values import Values
from ..kernel import moments
from ..kernel.columns import Connection, DriverError, ewkb_points, sqlstate
from . import tables
from .sql import quote, sql

STAGING = "matengine"
_FOREIGN_KEY_VIOLATION = "23503"
_UNIQUE_VIOLATION = "23505"


def staged(run_id: str, table: str) -> str:
    """The name under which a table is filled; the janitor drops it when its run is over."""
    return f"stage_{run_id}_{table}"


def supplies_ids(upload: UploadPlan) -> bool:
    """Whether a file fills a supervoxel column."""
    filled = {name for source in upload.sources for name in source.columns}
    return any(c.is_segmentation and c.name in filled for c in schema(upload.table.schema).flat_columns())


def index_statements(run_id: str, upload: UploadPlan) -> tuple[tuple[str, str], ...]:
    """(label, statement) of every key and index of the hidden tables, under the names that they keep.

    Spatial ones come first: they take longest, and what is left is short enough to fill the gaps between workers.
    """
    table, kind = upload.table, schema(upload.table.schema)
    found = _statements(table.name, staged(run_id, "annotation"), kind.annotation_columns())
    if supplies_ids(upload) and table.segmentation is not None:
        found += _statements(table.segmentation, staged(run_id, "segmentation"), kind.segmentation_columns())
    return tuple((label, statement) for _, label, statement in sorted(found, key=lambda one: not one[0]))


def _statements(final: str, table: str, columns: tuple[Column, ...]) -> tuple[tuple[bool, str, str], ...]:
    # A primary key would wait for every other index of its table, and they for it.
    key = tables.unique_index(table, schema=STAGING, name=final)
    indexes = tables.table_indexes(columns, final)
    return (
        (False, f"{final} id", key),
        *(
            (i.kind is IndexKind.SPATIAL, f"{final} {i.column}", tables.create_index(i, table, schema=STAGING))
            for i in indexes
        ),
    )


class UploadStage:
    """The tables of one upload before anybody sees them."""

    def __init__(self, connection: Connection, run_id: str, upload: UploadPlan) -> None:
        self._connection, self._upload = connection, upload
        self.schema: Schema = schema(upload.table.schema)
        self.annotation = staged(run_id, "annotation")
        self.segmentation = staged(run_id, "segmentation")

    @property
    def has_ids(self) -> bool:
        """Whether supervoxel ids were supplied, so that segmentation rows are loaded too."""
        return supplies_ids(self._upload)

    def create(self) -> None:
        """Make the empty tables, without keys and indexes."""
        self._connection.execute(tables.create_table(self.annotation, self.schema.annotation_columns(), schema=STAGING))
        if self.has_ids:
            columns = self.schema.segmentation_columns()
            self._connection.execute(tables.create_table(self.segmentation, columns, schema=STAGING))

    def load(self, values: Values, start: int) -> int:
        """Append one batch; rows without a file of ids are numbered from 1 in file order."""
        rows = len(next(iter(values.values())))
        ids = values.get("id", np.arange(start + 1, start + rows + 1, dtype=np.int64))
        annotation = self._annotation(values, ids)
        self._connection.append(self.annotation, annotation, schema=STAGING)
        if self.has_ids:
            columns = [c for c in self.schema.segmentation_columns() if c.name in values]
            found = {"id": pa.array(ids)} | {c.name: pa.array(values[c.name]) for c in columns if c.name != "id"}
            self._connection.append(self.segmentation, pa.table(found), schema=STAGING)
        return rows

    def _annotation(self, values: Values, ids: npt.NDArray[np.generic]) -> pa.Table:
        stamp = pa.scalar(moments.naive(self._upload.created), pa.timestamp("us"))
        filled: dict[str, pa.Array] = {}
        for column in self.schema.annotation_columns():
            if column.role is Role.ID:
                filled[column.name] = pa.array(ids)
            elif column.role is Role.CREATED:
                filled[column.name] = pa.repeat(stamp, len(ids))
            elif column.role is Role.VALID:
                filled[column.name] = pa.repeat(pa.scalar(True), len(ids))
            elif column.name in values:
                filled[column.name] = _array(column, values[column.name])
        return pa.table(filled)

    def build(self, statement: str) -> None:
        """Build one key or index. Raises BadUpload for an id that stands twice."""
        try:
            self._connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
            self._connection.execute(statement)
        except DriverError as error:
            if sqlstate(error) != _UNIQUE_VIOLATION:
                raise
            raise BadUpload(f"the ids are not unique: {detail(error)}", field="id") from error

    def publish(self, datastack: Datastack) -> None:
        """Move the tables into place with their metadata, in the caller's transaction.

        Raises TableExists, and BadUpload for target ids that the referenced table has not.
        """
        upload, table = self._upload, self._upload.table
        if self._connection.value("SELECT to_regclass($1) IS NOT NULL", tables.qualified(table.name)):
            raise TableExists(f"table {table.name!r} exists already in {datastack.aligned_volume}")
        self._move(self.annotation, table.name)
        newest = int(self._connection.value(f"SELECT coalesce(max(id), 0) FROM {tables.qualified(table.name)}"))
        self._connection.execute(tables.add_identity(table.name, start=newest + 1))
        self._connection.execute(
            sql("live", "insert_annotation_metadata"),
            *(table.schema, table.name, moments.naive(upload.created), upload.owner, upload.description),
            *(None, table.reference_table, None, *table.resolution, "PRIVATE", "PUBLIC"),
        )
        self._reference(upload)
        if self.has_ids and table.segmentation is not None:
            self._publish_segmentation(datastack, table.segmentation)

    def _publish_segmentation(self, datastack: Datastack, name: str) -> None:
        upload = self._upload
        self._move(self.segmentation, name)
        self._key(name, "id", upload.table.name)
        self._connection.execute(
            sql("live", "insert_segmentation_metadata"),
            *(
                upload.table.schema,
                name,
                datastack.segmentation_source,
                datastack.pcg_table,
                upload.table.name,
            ),
        )
        if upload.roots_as_of is not None:
            as_of = moments.naive(upload.roots_as_of)
            self._connection.rows(sql("live", "move_last_updated"), name, as_of)

    def _move(self, table: str, final: str) -> None:
        self._connection.execute(f"ALTER TABLE {tables.qualified(table, STAGING)} RENAME TO {quote(final)}")
        self._connection.execute(f"ALTER TABLE {tables.qualified(final, STAGING)} SET SCHEMA public")
        self._connection.execute(tables.key_from_index(final))

    def _reference(self, upload: UploadPlan) -> None:
        target = next((c for c in self.schema.annotation_columns() if c.role is Role.TARGET), None)
        if target is not None and upload.table.reference_table is not None:
            self._key(upload.table.name, target.name, upload.table.reference_table)

    def _key(self, table: str, column: str, target: str) -> None:
        try:
            for statement in tables.foreign_key(table, column, target):
                self._connection.execute(statement)
        except DriverError as error:
            if sqlstate(error) != _FOREIGN_KEY_VIOLATION:
                raise
            raise BadUpload(f"{column} names rows that {target} has not: {detail(error)}", field=column) from error


def _array(column: Column, values: npt.NDArray[np.generic]) -> pa.Array:
    if column.type is SqlType.POINTZ:
        return ewkb_points(values)
    return pa.array(values, pa.string()) if column.type is SqlType.TEXT else pa.array(values)


def detail(error: BaseException) -> str:
    """The server's DETAIL line, which names the row; the whole message where there is none."""
    lines = str(error).splitlines()
    told = [line.partition("DETAIL:")[2].strip() for line in lines if "DETAIL:" in line]
    return told[0] if told else lines[0]
