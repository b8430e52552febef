"""Columns in and out of PostgreSQL: Arrow through ADBC, and raw COPY pipes between two databases.

One `Connection` is one ADBC connection and so one transaction at a time; it is made where it is used and never
crosses a fork.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO, Any, Self

import adbc_driver_postgresql.dbapi as driver
import numpy as np
import numpy.typing as npt
import psycopg2.extensions
import pyarrow as pa
from adbc_driver_manager import Error as DriverError
from adbc_driver_manager import OperationalError

__all__ = [
    "brief",
    "Connection",
    "Door",
    "DriverError",
    "copy_between",
    "ewkb_points",
    "lost",
    "read_bigints",
    "sqlstate",
    "write_bigints",
]

_EWKB_POINTZ = np.dtype([("order", "u1"), ("kind", "<u4"), ("xyz", "<f8", (3,))])
_LOST = ("08", "53", "57P")
"""SQLSTATE classes of a lost connection, of exhausted resources and of a server that goes down."""

_MOST_PREPARED = 32
"""Statements that a connection keeps planned; their plans take memory of the server."""

_PIPE_BUFFER = 1 << 20
_BATCH_BYTES = "adbc.postgresql.batch_size_hint_bytes"
_USE_COPY = "adbc.postgresql.use_copy"


def sqlstate(error: BaseException) -> str:
    """The five-character SQLSTATE of a driver error, or '' where the connection broke before one came."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


def lost(error: BaseException) -> bool:
    """Whether the server went away, or shut down, rather than disliked the statement."""
    state = sqlstate(error)
    return state.startswith(_LOST) or (not state and isinstance(error, OperationalError))


def brief(error: BaseException) -> str:
    """What an error says, without the statement that ADBC repeats after it, which may be many kilobytes."""
    return str(error).partition("\n\nQuery was:")[0].strip()


class Connection:
    """A PostgreSQL connection that speaks Arrow. Placeholders are `$1`, `$2`, ...; commits are explicit."""

    def __init__(self, uri: str, handle: driver.Connection | None = None) -> None:
        self._handle = handle or driver.connect(uri)
        self._prepared: set[str] = set()

    def execute(self, sql: str, *params: object) -> None:
        """Run one statement whose answer nobody reads."""
        with self._handle.cursor() as cursor:
            cursor.execute(sql, params or None)

    def rows(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """All rows as Python values, for answers of a few rows."""
        with self._handle.cursor() as cursor:
            cursor.execute(sql, params or None)
            return list(cursor.fetchall())

    def one(self, sql: str, *params: object) -> tuple[Any, ...] | None:
        """The first row, or None."""
        found = self.rows(sql, *params)
        return found[0] if found else None

    def value(self, sql: str, *params: object) -> Any:
        """The first column of the only row; an answer without a row raises LookupError."""
        found = self.one(sql, *params)
        if found is None:
            raise LookupError(f"no row from: {sql}")
        return found[0]

    def table(self, sql: str, *params: object) -> pa.Table:
        """The whole answer as an Arrow table."""
        with self._handle.cursor() as cursor:
            cursor.execute(sql, params or None)
            return cursor.fetch_arrow_table()

    def short_table(self, sql: str) -> pa.Table:
        """The same in one round trip instead of three; the driver holds the answer twice for a moment."""
        with self._handle.cursor() as cursor:
            cursor.adbc_statement.set_options(**{_USE_COPY: "false"})
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def prepared_table(self, name: str, sql: str, arguments: Sequence[str], types: Sequence[str] = ()) -> pa.Table:
        """The short answer of a statement that this connection plans once, under a name of its own.

        `sql` has placeholders, of these `types` where the server should not find them out; `arguments` are
        expressions of SQL.
        """
        if name not in self._prepared:
            self._prepare(name, f"({', '.join(types)}) AS {sql}" if types else f"AS {sql}")
        return self.short_table(f"EXECUTE {name} ({', '.join(arguments)})")

    def _prepare(self, name: str, definition: str) -> None:
        if len(self._prepared) >= _MOST_PREPARED:
            self.execute("DEALLOCATE ALL")
            self._prepared.clear()
        self.execute(f"PREPARE {name} {definition}")
        self._prepared.add(name)

    @contextmanager
    def batches(self, sql: str, *params: object, batch_bytes: int | None = None) -> Iterator[pa.RecordBatchReader]:
        """The answer as a stream of record batches of about `batch_bytes` (16 MB without).

        Memory holds one batch at a time, but only without `params`: with them the driver cannot use COPY and gathers
        the whole answer first (m).
        """
        with self._handle.cursor() as cursor:
            if batch_bytes is not None:
                cursor.adbc_statement.set_options(**{_BATCH_BYTES: batch_bytes})
            cursor.execute(sql, params or None)
            yield cursor.fetch_record_batch()

    def append(
        self, table: str, rows: pa.Table | pa.RecordBatchReader, *, schema: str | None = None, temporary: bool = False
    ) -> None:
        """Append columns to an existing table by binary COPY."""
        with self._handle.cursor() as cursor:
            cursor.adbc_ingest(table, rows, mode="append", db_schema_name=schema, temporary=temporary)

    def commit(self) -> None:
        """End the transaction, keeping it."""
        self._handle.commit()

    def rollback(self) -> None:
        """End the transaction, dropping it."""
        self._handle.rollback()

    def close(self) -> None:
        """Close; what was not committed is lost."""
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Door:
    """Connections to one database, of which only the first has the driver read the server's catalog of types.

    That reading costs more than the connection itself. Between two connections nothing stays open.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._first: driver.Connection | None = None
        self._guard = threading.Lock()

    def open(self) -> Connection:
        """A new connection, of its own session."""
        with self._guard:
            if self._first is None:
                self._first = driver.connect(self._uri)
                # What was read stays with the driver's database; the session is not needed.
                self._first.adbc_connection.close()
            return Connection(self._uri, self._first.adbc_clone())

    def close(self) -> None:
        """Forget what was read."""
        with self._guard:
            if self._first is not None:
                self._first.close()
            self._first = None


def ewkb_points(points: npt.NDArray[np.generic]) -> pa.Array:
    """Positions, shape (n, 3), as the EWKB bytes (21 + 8 of header) that a geometry(PointZ) column takes."""
    records = np.empty(len(points), dtype=_EWKB_POINTZ)
    records["order"], records["kind"], records["xyz"] = 1, 0x80000001, points
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(_EWKB_POINTZ.itemsize), len(records), [None, pa.py_buffer(records.tobytes())]
    )
    return fixed.cast(pa.binary())


def copy_between(
    source: psycopg2.extensions.connection,
    copy_out: str,
    target: psycopg2.extensions.connection,
    copy_in: str,
) -> int:
    """Stream one `COPY .. TO STDOUT` into a `COPY .. FROM STDIN`; returns the rows written.

    A thread reads while this one writes, through an operating system pipe, so memory stays at its buffer.
    The first error of either side is raised, after both have ended.
    """
    read_end, write_end = os.pipe()
    failures: list[BaseException] = []
    with os.fdopen(read_end, "rb", _PIPE_BUFFER) as reader, target.cursor() as cursor:
        thread = threading.Thread(target=_copy_out, args=(source, copy_out, write_end, failures), daemon=True)
        thread.start()
        try:
            cursor.copy_expert(copy_in, _FailingReader(reader, failures), size=_PIPE_BUFFER)
        finally:
            reader.close()
            thread.join()
        if failures:
            raise failures[0]
        return int(cursor.rowcount)


def _copy_out(source: psycopg2.extensions.connection, sql: str, write_end: int, failures: list[BaseException]) -> None:
    # What went wrong must be known before the pipe is closed: its end alone looks like the end of the table.
    with suppress(BrokenPipeError), os.fdopen(write_end, "wb", _PIPE_BUFFER) as writer:
        try:
            with source.cursor() as cursor:
                cursor.copy_expert(sql, writer)
            writer.flush()
        except (psycopg2.Error, OSError) as error:
            failures.append(error)


class _FailingReader:
    """Ends the inward COPY with the outward one's error, so that half a table is never taken for a whole one."""

    def __init__(self, reader: IO[bytes], failures: Sequence[BaseException]) -> None:
        self._reader, self._failures = reader, failures

    def read(self, size: int = -1, /) -> bytes:
        block = self._reader.read(size)
        if not block and self._failures:
            raise self._failures[0]
        return block

    def readline(self, size: int = -1, /) -> bytes:
        """Part of what psycopg2 asks of a file; a binary COPY never calls it."""
        return self._reader.readline(size)


_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TAIL = b"\xff\xff"


def read_bigints(source: psycopg2.extensions.connection, select: str) -> npt.NDArray[np.int64]:
    """The one bigint column of a SELECT that gives no NULL, by binary COPY."""
    buffer = io.BytesIO()
    with source.cursor() as cursor:
        cursor.copy_expert(f"COPY ({select}) TO STDOUT (FORMAT binary)", buffer)
    record = np.dtype([("fields", ">i2"), ("length", ">i4"), ("value", ">i8")])
    body = memoryview(buffer.getbuffer())[len(_COPY_HEAD) : -len(_COPY_TAIL)]
    values: npt.NDArray[np.int64] = np.frombuffer(body, dtype=record)["value"].astype(np.int64)
    return values


def write_bigints(target: psycopg2.extensions.connection, table: str, columns: Sequence[npt.NDArray[np.int64]]) -> None:
    """Append bigint columns of equal length to a table that has just these, by binary COPY."""
    fields = [
        (f"{part}{number}", kind) for number in range(len(columns)) for part, kind in (("l", ">i4"), ("v", ">i8"))
    ]
    records = np.empty(len(columns[0]), dtype=np.dtype([("fields", ">i2"), *fields]))
    records["fields"] = len(columns)
    for number, values in enumerate(columns):
        records[f"l{number}"], records[f"v{number}"] = 8, values
    with target.cursor() as cursor:
        cursor.copy_expert(
            f"COPY {table} FROM STDIN (FORMAT binary)",
            io.BytesIO(_COPY_HEAD + records.tobytes() + _COPY_TAIL),
        )
