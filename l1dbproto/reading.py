"""Reading: latest versions in a region, and the history of their sources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from .config import L1dbConfig
from .constants import DAYS_PER_MONTH
from .htm import PixelRange
from .moments import mjd_tai
from .statements import Statements
from .store import Ids
from .tables import DIA_FORCED_SOURCE, DIA_OBJECT, DIA_SOURCE, FULL_OBJECT, SHORT_OBJECT, TableDef, last_table


class Reader:
    """The three reads of a visit."""

    def __init__(self, config: L1dbConfig, db: Statements) -> None:
        self._config = config
        self._db = db
        self._last = last_table(config.read_full_objects)

    def read_objects(self, ranges: tuple[PixelRange, ...], explain: bool) -> pa.Table:
        """See `Store.read_objects`."""
        names = FULL_OBJECT if self._config.read_full_objects else SHORT_OBJECT
        last = self._config.has_last
        # Rows of the last-object table have no end, so there is no such column.
        schema = DIA_OBJECT.arrow(name for name in names if not (last and name == "validityEnd"))
        condition = _in_ranges(ranges) + ("" if last else ' AND "validityEnd" IS NULL')
        found = self._read(self._last if last else DIA_OBJECT, schema, condition, explain)
        return _completed(found, DIA_OBJECT.arrow(names))

    def read_sources(self, where: tuple[PixelRange, ...] | Ids, visit_time: datetime | None, explain: bool) -> pa.Table:
        """See `Store.read_sources`."""
        return self._history(DIA_SOURCE, where, visit_time, self._config.read_sources_months, explain)

    def read_forced(self, ids: Ids, visit_time: datetime | None, explain: bool) -> pa.Table:
        """See `Store.read_forced`."""
        months = self._config.read_forced_sources_months
        return self._history(DIA_FORCED_SOURCE, ids, visit_time, months, explain)

    def _history(
        self,
        table: TableDef,
        where: tuple[PixelRange, ...] | Ids,
        visit_time: datetime | None,
        months: int,
        explain: bool,
    ) -> pa.Table:
        with self._db.session.transaction():
            state = self._db.state()
            schema = table.arrow(state.readable(table))
            since = self._cut(visit_time or state.moment, months)
            if not isinstance(where, tuple):
                found = self._read_ids(table, schema, where, since, explain)
            else:
                found = self._read_here(table, schema, _in_ranges(where) + since, explain)
        return _completed(found, table.arrow())

    def _cut(self, now: datetime | None, months: int) -> str:
        if now is None:
            # Nothing was stored with a visit's time yet, so the newest source tells what is recent.
            newest = self._db.session.rows('SELECT max("midPointTai") FROM "DiaSource"')[0][0]
            return "" if newest is None else _since(float(newest), months)
        return _since(mjd_tai(now), months)

    def _read(self, table: TableDef, schema: pa.Schema, condition: str, explain: bool) -> pa.Table:
        with self._db.session.transaction():
            self._db.state()
            return self._read_here(table, schema, condition, explain)

    def _read_here(self, table: TableDef, schema: pa.Schema, condition: str, explain: bool) -> pa.Table:
        sql = f'SELECT {self._db.session.chosen(schema)} FROM "{table.name}" WHERE {condition}'
        self._db.explain(sql, explain)
        with self._db.timings.stage(f"{DIA_OBJECT.name if table is self._last else table.name} select"):
            return self._db.session.columns(sql, schema)

    def _read_ids(self, table: TableDef, schema: pa.Schema, ids: Ids, since: str, explain: bool) -> pa.Table:
        distinct = np.unique(ids)
        if explain:
            some = ", ".join(map(str, distinct[:1000].tolist()))
            self._db.explain(f'SELECT * FROM "{table.name}" WHERE "diaObjectId" IN ({some}){since}', True)
        with self._db.timings.stage(f"{table.name} select"):
            return self._db.session.columns_by_id(schema, table.name, distinct, since)


def _in_ranges(ranges: Sequence[PixelRange]) -> str:
    terms = [
        f'"htmId20" = {r.first}' if r.first == r.last else f'"htmId20" BETWEEN {r.first} AND {r.last}' for r in ranges
    ]
    return f"({' OR '.join(terms)})" if terms else "false"


def _since(now: float, months: int) -> str:
    return f' AND "midPointTai" >= {now - months * DAYS_PER_MONTH!r}'


def _completed(found: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of `schema`; those that were not asked for are null."""
    have = {name: found.column(name) for name in found.column_names}
    arrays = [have[f.name] if f.name in have else pa.nulls(found.num_rows, f.type) for f in schema]
    return pa.table(arrays, schema=schema)
