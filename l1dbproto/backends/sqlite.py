"""SQLite: the embedded default, read and written through Arrow, in write-ahead mode.

Moments are stored as text, `YYYY-MM-DD hh:mm:ss.ffffff`, which sorts as they do.
"""

from __future__ import annotations

from typing import Any

import adbc_driver_sqlite.dbapi as driver
import pyarrow as pa
from adbc_driver_manager import Error as DriverError

from ..tables import last_table
from .base import NO_TABLE, STAGE, Ids, Session, quoted

# The driver types each column by the first batch of an answer; one batch for all keeps a late value from failing.
_ONE_BATCH = {"adbc.sqlite.query.batch_rows": str(1 << 30)}
_BUSY_MILLISECONDS = 120_000
_STATES = {"no such table": NO_TABLE, "constraint failed": "23505", "database is locked": "40001"}


class SqliteSession(Session):
    """One connection to one file."""

    driver_errors = (*Session.driver_errors, DriverError)

    def execute(self, sql: str) -> None:
        with self._handle.cursor() as cursor:
            cursor.execute(sql)
            # A statement runs only while its answer is read.
            if cursor.description:
                cursor.fetchall()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._handle.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def columns(self, sql: str, schema: pa.Schema) -> pa.Table:
        with self._handle.cursor(adbc_stmt_kwargs=_ONE_BATCH) as cursor:
            cursor.execute(sql)
            answer = cursor.fetch_arrow_table()
        arrays = [_typed(answer.column(i), field.type) for i, field in enumerate(schema)]
        return pa.table(arrays, schema=schema)

    def append(self, table: str, columns: pa.Table) -> None:
        with self._handle.cursor() as cursor:
            cursor.adbc_ingest(table, _storable(columns), mode="append")

    def stage(self, columns: pa.Table) -> None:
        self.execute(f"DELETE FROM temp.{STAGE}")
        with self._handle.cursor() as cursor:
            cursor.adbc_ingest(STAGE, _storable(columns), mode="append", temporary=True)

    def columns_by_id(self, schema: pa.Schema, table: str, ids: Ids, condition: str) -> pa.Table:
        self.execute("DELETE FROM temp.l1_keys")
        with self._handle.cursor() as cursor:
            cursor.adbc_ingest("l1_keys", pa.table({"id": ids}), mode="append", temporary=True)
        # CROSS JOIN fixes the order: ids first, each looked up in the table.
        joined = f'temp.l1_keys k CROSS JOIN "{table}" t ON t."diaObjectId" = k.id'
        return self.columns(f"SELECT {self.chosen(schema, 't.')} FROM {joined} WHERE true{condition}", schema)

    def close_versions(self, end: str, last: bool) -> str:
        if last:
            previous = 'CROSS JOIN "DiaObjectLast" l ON l."diaObjectId" = s."diaObjectId"'
            open_version = 'o."validityStart" = l."validityStart"'
        else:
            previous, open_version = "", 'o."validityEnd" IS NULL'
        found = (
            f'SELECT o.rowid FROM temp.{STAGE} s {previous} CROSS JOIN "DiaObject" o '
            f'ON o."diaObjectId" = s."diaObjectId" AND {open_version}'
        )
        return f'UPDATE "DiaObject" SET "validityEnd" = {end} WHERE rowid IN ({found})'

    def plan(self, sql: str) -> list[str]:
        return [str(row[3]) for row in self.rows(f"EXPLAIN QUERY PLAN {sql}")]

    def state_of(self, error: Exception) -> str:
        # The driver tells of a violated key in one way for a statement and in another for rows in bulk.
        return next((state for words, state in _STATES.items() if words in str(error)), "")

    def _connect(self) -> driver.Connection:
        connection = driver.connect(str(self.config.url.database), autocommit=True)
        self._handle = connection
        # With fewer than FULL a power cut may lose the newest visits, never half of one.
        level = "FULL" if self.config.sync_commit else "NORMAL"
        self.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        for setting in (
            "journal_mode = WAL",
            f"synchronous = {level}",
            "cache_size = -262144",
            "temp_store = MEMORY",
        ):
            self.execute(f"PRAGMA {setting}")
        self.execute("CREATE TEMPORARY TABLE l1_keys (id INTEGER PRIMARY KEY)")
        names = last_table(self.config.read_full_objects).names if self.config.has_last else ("diaObjectId",)
        self.execute(f"CREATE TEMPORARY TABLE {STAGE} ({quoted(names)})")
        return connection

    def _disconnect(self) -> None:
        self._handle.close()

    def _begin(self, writing: bool) -> None:
        # A reader that turns writer half way cannot wait its turn; a writer says so at once.
        self.execute("BEGIN IMMEDIATE" if writing else "BEGIN")

    def _commit(self) -> None:
        self.execute("COMMIT")

    def _rollback(self) -> None:
        self.execute("ROLLBACK")


def _typed(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column as the driver guessed it, in the type that the schema knows."""
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    return column.cast(kind)


def _storable(columns: pa.Table) -> pa.Table:
    """Moments as text."""
    arrays = [c.cast(pa.string()) if pa.types.is_timestamp(c.type) else c for c in columns.columns]
    return pa.table(arrays, names=columns.column_names)
