"""The floor of an L1 visit: the same rows through bare SQL, in tables of the same shape beside ours.

After our visit its rows are fetched from our tables, as the bytes of a COPY; then, by the clock, the same objects and
history are copied out of the bare tables, and the rows are copied in. Only columns that are NOT NULL are read, which
are those that are filled.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg2

from l1dbproto.htm import cover
from l1dbproto.tables import DIA_FORCED_SOURCE, DIA_OBJECT, DIA_SOURCE, SHORT_OBJECT, TableDef, last_table
from materializationengine.kernel.postgres import libpq

from .binary import Sink
from .floors import Cost
from .visits_work import Work, moment_of, view_of

_BY_MOMENT = (DIA_OBJECT, last_table(False))
_BY_VISIT = (DIA_SOURCE, DIA_FORCED_SOURCE)
_TABLES = (*_BY_MOMENT, *_BY_VISIT)


class Bare:
    """Tables in schema `bare` of our database. `server` tells the CPU seconds of the server so far."""

    def __init__(self, url: str, work: Work, server: Callable[[], float]) -> None:
        self._work, self._server = work, server
        self._connection = psycopg2.connect(libpq(url))
        self._cursor: Any = self._connection.cursor()
        self._cursor.execute("CREATE SCHEMA bare")
        for table in _TABLES:
            self._cursor.execute(f'CREATE TABLE bare."{table.name}" (LIKE "{table.name}" INCLUDING ALL)')
        self._connection.commit()

    def visit(self, number: int) -> dict[str, Cost]:
        """Do a visit that ours has just done; the cost of each stage."""
        rows = self._rows(number)
        known = self._ids(f'SELECT DISTINCT "diaObjectId" FROM bare."DiaSource" {self._same_field(number)}')
        new = self._ids('SELECT "diaObjectId" FROM "DiaObjectLast" WHERE "validityStart" = %s', moment_of(number))
        return {
            "read_obj": self._timed(lambda: self._read_objects(number)),
            "read_src": self._timed(lambda: self._read(DIA_SOURCE, known)),
            "read_fsrc": self._timed(lambda: self._read(DIA_FORCED_SOURCE, known)),
            "store": self._timed(lambda: self._store(number, new, rows)),
        }

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def _rows(self, number: int) -> dict[str, bytes]:
        """What ours stored in a visit, by table."""
        found = {}
        for table in _TABLES:
            column, value = ('"validityStart"', moment_of(number)) if table in _BY_MOMENT else ('"ccdVisitId"', number)
            select = self._cursor.mogrify(f'SELECT * FROM "{table.name}" WHERE {column} = %s', (value,)).decode()
            held = io.BytesIO()
            self._cursor.copy_expert(f"COPY ({select}) TO STDOUT (FORMAT binary)", held)
            found[table.name] = held.getvalue()
        return found

    def _same_field(self, number: int) -> str:
        return f'WHERE "ccdVisitId" % {self._work.fields} = {number % self._work.fields}'

    def _ids(self, statement: str, *values: object) -> list[int]:
        self._cursor.execute(statement, values or None)
        found = [row[0] for row in self._cursor.fetchall()]
        self._connection.commit()
        return found

    def _read_objects(self, number: int) -> None:
        ranges = cover(view_of(number % self._work.fields).circle)
        where = " OR ".join(f'"htmId20" BETWEEN {each.first} AND {each.last}' for each in ranges)
        self._copy_out(last_table(False), SHORT_OBJECT, where)

    def _read(self, table: TableDef, ids: list[int]) -> None:
        names = [column.name for column in table.columns if not column.nullable]
        self._copy_out(table, names, f"\"diaObjectId\" = ANY('{{{','.join(map(str, ids))}}}')")

    def _copy_out(self, table: TableDef, names: Sequence[str], where: str) -> None:
        columns = ", ".join(f'"{name}"' for name in names)
        select = f'SELECT {columns} FROM bare."{table.name}" WHERE {where}'
        self._cursor.copy_expert(f"COPY ({select}) TO STDOUT (FORMAT binary)", Sink(), size=1 << 20)
        self._connection.commit()

    def _store(self, number: int, ids: list[int], rows: dict[str, bytes]) -> None:
        """Close the versions before, replace the latest ones, and append, in one transaction."""
        self._cursor.execute(
            'UPDATE bare."DiaObject" SET "validityEnd" = %s WHERE "diaObjectId" = ANY(%s) AND "validityEnd" IS NULL',
            (moment_of(number), ids),
        )
        self._cursor.execute('DELETE FROM bare."DiaObjectLast" WHERE "diaObjectId" = ANY(%s)', (ids,))
        for name, held in rows.items():
            self._cursor.copy_expert(f'COPY bare."{name}" FROM STDIN (FORMAT binary)', io.BytesIO(held), size=1 << 20)
        self._connection.commit()

    def _timed(self, deed: Callable[[], object]) -> Cost:
        cpu, began = self._server() + time.process_time(), time.perf_counter()
        deed()
        seconds = time.perf_counter() - began
        return Cost(seconds, self._server() + time.process_time() - cpu)
