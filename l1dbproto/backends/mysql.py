"""MySQL and MariaDB through PyMySQL: many-row INSERT in, temporary key tables for look-ups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pymysql
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql

from ..config import L1dbConfig
from ..errors import ConfigError
from ..tables import last_table
from .base import NO_TABLE, STAGE, Ids, Session, quoted

# Double quotes name identifiers, and a value that does not fit is an error, not a warning.
_SQL_MODE = "ANSI_QUOTES,STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"
_INSERT_ROWS = 2_000
# Lock wait timeout and deadlock: both mean that the transaction may be tried again.
_BUSY = (1205, 1213)
_NO_TABLE = 1146


class MySqlSession(Session):
    """One PyMySQL connection."""

    driver_errors = (*Session.driver_errors, pymysql.err.MySQLError)
    drop_temporary = "DROP TEMPORARY TABLE"

    def __init__(self, config: L1dbConfig) -> None:
        super().__init__(config)
        if not config.url.database:
            raise ConfigError("url must name a database for MySQL, as in mysql://localhost/l1dbproto")

    def execute(self, sql: str) -> None:
        with self._handle.cursor() as cursor:
            cursor.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._handle.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def columns(self, sql: str, schema: pa.Schema) -> pa.Table:
        rows = self.rows(sql)
        values: Sequence[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
        return pa.table([pa.array(v, field.type) for v, field in zip(values, schema, strict=True)], schema=schema)

    def append(self, table: str, columns: pa.Table) -> None:
        # PyMySQL folds executemany of exactly this shape into INSERTs of many rows.
        places = ", ".join(["%s"] * columns.num_columns)
        statement = f'INSERT INTO "{table}" ({quoted(columns.column_names)}) VALUES ({places})'
        with self._handle.cursor() as cursor:
            for batch in columns.to_batches(max_chunksize=_INSERT_ROWS):
                cursor.executemany(statement, list(zip(*(c.to_pylist() for c in batch.columns), strict=True)))

    def stage(self, columns: pa.Table) -> None:
        self.execute(f"DELETE FROM {STAGE}")
        self.append(STAGE, columns)

    def columns_by_id(self, schema: pa.Schema, table: str, ids: Ids, condition: str) -> pa.Table:
        self.execute("DELETE FROM l1_keys")
        self.append("l1_keys", pa.table({"id": ids}))
        joined = f'l1_keys k STRAIGHT_JOIN "{table}" t ON t."diaObjectId" = k.id'
        return self.columns(f"SELECT {self.chosen(schema, 't.')} FROM {joined} WHERE true{condition}", schema)

    def chosen(self, schema: pa.Schema, prefix: str = "") -> str:
        # The server prints a FLOAT with six digits, and as a double with all it has.
        zero = {field.name: " + 0e0" if pa.types.is_float32(field.type) else "" for field in schema}
        return ", ".join(f'{prefix}"{name}"{plus} AS "{name}"' for name, plus in zero.items())

    def close_versions(self, end: str, last: bool) -> str:
        if last:
            previous = 'STRAIGHT_JOIN "DiaObjectLast" l ON l."diaObjectId" = s."diaObjectId"'
            open_version = 'o."validityStart" = l."validityStart"'
        else:
            previous, open_version = "", 'o."validityEnd" IS NULL'
        return (
            f'UPDATE {STAGE} s {previous} STRAIGHT_JOIN "DiaObject" o '
            f'ON o."diaObjectId" = s."diaObjectId" AND {open_version} SET o."validityEnd" = {end}'
        )

    def upsert(self, names: Sequence[str]) -> str:
        changes = ", ".join(f'"{name}" = VALUES("{name}")' for name in names if name != "diaObjectId")
        return (
            f'INSERT INTO "DiaObjectLast" ({quoted(names)}) SELECT {quoted(names)} FROM {STAGE} '
            f"ON DUPLICATE KEY UPDATE {changes}"
        )

    def close_before(self, first: str) -> str:
        return (
            f'UPDATE {first} f STRAIGHT_JOIN "DiaObject" o ON o."diaObjectId" = f."diaObjectId" '
            'AND o."validityEnd" IS NULL SET o."validityEnd" = f.start'
        )

    def insert_if_new(self, table: str, values: str) -> str:
        return f'INSERT IGNORE INTO "{table}" VALUES {values}'

    def plan(self, sql: str) -> list[str]:
        return [", ".join(str(word) for word in row) for row in self.rows(f"EXPLAIN {sql}")]

    def state_of(self, error: Exception) -> str:
        cause = getattr(error, "orig", None) or error
        code = cause.args[0] if cause.args else None
        if code in _BUSY:
            return "40001"
        if code == _NO_TABLE:
            return NO_TABLE
        return "23000" if isinstance(cause, pymysql.err.IntegrityError) else ""

    def _connect(self) -> Any:
        _, words = MySQLDialect_pymysql().create_connect_args(self.config.url)
        connection = pymysql.connect(**words, sql_mode=_SQL_MODE, autocommit=False)
        self._handle = connection
        # As in the seed: fewer gaps are locked than by default, so that tiles meet less often.
        self.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.execute("CREATE TEMPORARY TABLE l1_keys (id BIGINT PRIMARY KEY)")
        source = "DiaObjectLast" if self.config.has_last else "DiaObject"
        names = last_table(self.config.read_full_objects).names if self.config.has_last else ("diaObjectId",)
        if self.rows(f"SHOW TABLES LIKE '{source}'"):
            self.execute(f'CREATE TEMPORARY TABLE {STAGE} AS SELECT {quoted(names)} FROM "{source}" WHERE false')
        return connection

    def _disconnect(self) -> None:
        self._handle.close()

    def _begin(self, writing: bool) -> None:
        self._handle.begin()

    def _commit(self) -> None:
        self._handle.commit()

    def _rollback(self) -> None:
        self._handle.rollback()
