"""PostgreSQL: binary COPY in and out through Arrow, `= ANY` for ids, and partitions by month."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.compute as pc

from materializationengine.kernel.columns import Connection, DriverError, sqlstate
from materializationengine.kernel.postgres import libpq

from ..config import L1dbConfig, Partition
from ..errors import BadRecords
from ..moments import mjd, month_of, next_month
from ..tables import TableDef, last_table
from .base import STAGE, Ids, Session, quoted

# Any number that names the one thing locked: the making of partitions.
_PARTITION_LOCK = 5_126_110_001
_MOST_MONTHS = 120

_EXPLAIN = """CREATE OR REPLACE FUNCTION pg_temp.l1_explain(statement text) RETURNS SETOF text LANGUAGE plpgsql
AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN ' || statement; END $$"""


class PostgresSession(Session):
    """One ADBC connection."""

    driver_errors = (*Session.driver_errors, DriverError, psycopg2.Error)

    def __init__(self, config: L1dbConfig) -> None:
        super().__init__(config)
        self._months: set[tuple[str, datetime]] = set()

    def execute(self, sql: str) -> None:
        self._handle.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._handle.rows(sql))

    def columns(self, sql: str, schema: pa.Schema) -> pa.Table:
        return self._handle.table(sql).cast(schema)

    def append(self, table: str, columns: pa.Table) -> None:
        self._handle.append(table, columns)

    def stage(self, columns: pa.Table) -> None:
        self._handle.append(STAGE, columns, temporary=True)

    def columns_by_id(self, schema: pa.Schema, table: str, ids: Ids, condition: str) -> pa.Table:
        # Sorted ids let the server walk the index once and each heap page once.
        wanted = f'"diaObjectId" = ANY ({_array(np.sort(ids))})'
        return self.columns(f'SELECT {self.chosen(schema)} FROM "{table}" WHERE {wanted}{condition}', schema)

    def close_versions(self, end: str, last: bool) -> str:
        if last:
            previous = 'JOIN "DiaObjectLast" l ON l."diaObjectId" = s."diaObjectId"'
            open_version = 'o."validityStart" = l."validityStart"'
        else:
            previous, open_version = "", 'o."validityEnd" IS NULL'
        return (
            f'UPDATE "DiaObject" o SET "validityEnd" = {end} FROM {STAGE} s {previous} '
            f'WHERE o."diaObjectId" = s."diaObjectId" AND {open_version}'
        )

    def plan(self, sql: str) -> list[str]:
        # Everything is read through COPY, which takes no EXPLAIN; a function can be selected from.
        self.execute(_EXPLAIN)
        text = sql.replace("'", "''")
        return [str(line) for (line,) in self.rows(f"SELECT * FROM pg_temp.l1_explain('{text}')")]

    def prepare(self, table: TableDef, columns: pa.Table) -> None:
        """Make the partitions for the months of `columns`, and for the month after the newest."""
        if self.config.partition is not Partition.MONTH or not columns.num_rows:
            return
        months = _months(columns.column("midPointTai"))
        self._make_partitions(table.name, [*months, next_month(months[-1])])

    def tidy(self) -> None:
        connection = psycopg2.connect(libpq(self._url, application="l1dbproto daily"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("VACUUM (ANALYZE)")
        finally:
            connection.close()

    def state_of(self, error: Exception) -> str:
        return sqlstate(error) or sqlstate(getattr(error, "orig", None) or error)

    @property
    def _url(self) -> str:
        return self.config.url.render_as_string(hide_password=False)

    def _make_partitions(self, table: str, months: Iterable[datetime]) -> None:
        missing = [month for month in months if (table, month) not in self._months]
        if not missing:
            return
        with self.transaction(writing=True):
            self.execute(f"SELECT pg_advisory_xact_lock({_PARTITION_LOCK})")
            for first in missing:
                bounds = f"FROM ({mjd(first)}) TO ({mjd(next_month(first))})"
                name = f"{table}_{first:%Y_%m}"
                self.execute(f'CREATE TABLE IF NOT EXISTS "{name}" PARTITION OF "{table}" FOR VALUES {bounds}')
        self._months |= {(table, month) for month in missing}

    def _connect(self) -> Connection:
        options = {
            "synchronous_commit": "on" if self.config.sync_commit else "off",
            "client_min_messages": "warning",
        }
        connection = Connection(libpq(self._url, application="l1dbproto", options=options))
        last = last_table(self.config.read_full_objects)
        # Untyped copies of the real columns; rows live for one transaction, the tables for the connection's life.
        names = quoted(last.names if self.config.has_last else ("diaObjectId",))
        source = "DiaObjectLast" if self.config.has_last else "DiaObject"
        if connection.value(f"SELECT to_regclass('\"{source}\"') IS NOT NULL"):
            connection.execute(
                f'CREATE TEMPORARY TABLE {STAGE} ON COMMIT DELETE ROWS AS SELECT {names} FROM "{source}" WHERE false'
            )
            # A staged visit is small and every look-up goes by a key. Without this the planner, which knows nothing
            # of the temporary table, hashes the whole last-object table once that is big enough.
            for method in ("hashjoin", "mergejoin"):
                connection.execute(f"SET enable_{method} = off")
        connection.commit()
        return connection

    def _disconnect(self) -> None:
        self._handle.close()

    def _begin(self, writing: bool) -> None:
        # The driver begins with the first statement. Before a table's first ANALYZE the planner takes 50 ranges of
        # trixels for a quarter of the sky and scans all of it (measured: five times slower reads of objects until
        # autovacuum comes by).
        if not writing:
            self.execute("SET LOCAL enable_seqscan = off")

    def _commit(self) -> None:
        self._handle.commit()

    def _rollback(self) -> None:
        self._handle.rollback()


def _array(ids: Ids) -> str:
    return "'{" + ",".join(map(str, ids.tolist())) + "}'::bigint[]"


def _months(times: pa.ChunkedArray) -> list[datetime]:
    """First moments of the calendar months, in order, of modified Julian dates. Raises BadRecords."""
    if not pc.all(pc.is_finite(times)).as_py():
        raise BadRecords("midPointTai must be a finite modified Julian date where tables are partitioned by month")
    days = np.unique(np.floor(times.to_numpy()))
    try:
        months = sorted({month_of(day) for day in days.tolist()})
    except OverflowError as error:
        raise BadRecords(
            f"midPointTai from {days[0]} to {days[-1]} is not a modified Julian date of our era"
        ) from error
    if len(months) > _MOST_MONTHS:
        raise BadRecords(f"one call cannot store sources of {len(months)} different months; the most is {_MOST_MONTHS}")
    return months
