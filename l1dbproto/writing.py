"""Writing: everything a visit stores, in one transaction."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa

from .catalog import State, note_filled, note_moment
from .checks import check_versions, conform, in_htm_order
from .config import L1dbConfig
from .errors import BadRecords, OutOfOrder, StoreBusy
from .moments import literal, mjd_tai
from .records import Visit
from .statements import LOG, Statements
from .store import VisitData
from .tables import DIA_FORCED_SOURCE, DIA_OBJECT, DIA_SOURCE, NIGHTLY, TILES, VISITS, TableDef, last_table
from .visits import last_row

_ATTEMPTS = 5
_NO_TIME = 0.0
"""`midPointTai` of forced sources stored before any visit's time was known: older than any cut."""


class Writer:
    """The one write of a visit."""

    def __init__(self, config: L1dbConfig, db: Statements) -> None:
        self._config = config
        self._db = db
        self._last = last_table(config.read_full_objects)
        self._versions = NIGHTLY if config.dia_object_nightly else DIA_OBJECT

    def write(self, data: VisitData, explain: bool) -> None:
        """See `Store.write`. What met another transaction is tried again; every attempt is all or nothing."""
        data = self._checked(data)
        for attempt in range(_ATTEMPTS):
            try:
                self._make_room(data)
                return self._write_once(data, explain)
            except StoreBusy:
                if attempt == _ATTEMPTS - 1:
                    raise
                LOG.warning("another transaction was in the way, trying again")
        return None

    def _checked(self, data: VisitData) -> VisitData:
        objects, sources, forced = data.objects, data.sources, data.forced
        if objects is not None:
            objects = conform(objects, DIA_OBJECT)
            if data.time is None:
                raise BadRecords("objects are stored with the time of their visit")
            check_versions(objects, data.time)
        if sources is not None:
            sources = conform(sources, DIA_SOURCE)
        if forced is not None:
            forced = conform(self._timed(forced, data.time), DIA_FORCED_SOURCE)
        if self._config.sort_batches:
            objects, sources, forced = in_htm_order(objects, sources, forced)
        return VisitData(data.time, objects, sources, forced, data.visit, data.tile)

    def _timed(self, forced: pa.Table, time: datetime | None) -> pa.Table:
        """Forced sources with the time of their visit, which the seed's records lack."""
        if "midPointTai" in forced.column_names:
            return forced
        if time is None:
            with self._db.session.transaction():
                time = self._db.state().moment
        value = _NO_TIME if time is None else mjd_tai(time)
        return forced.append_column("midPointTai", pa.array(np.full(forced.num_rows, value)))

    def _make_room(self, data: VisitData) -> None:
        for table, columns in ((DIA_SOURCE, data.sources), (DIA_FORCED_SOURCE, data.forced)):
            if columns is not None:
                self._db.session.prepare(table, columns)

    def _write_once(self, data: VisitData, explain: bool) -> None:
        with self._db.session.transaction(writing=True):
            state = self._db.state()
            self._check_order(data, state)
            if data.objects is not None and data.objects.num_rows:
                self._write_objects(data.objects, explain)
            for table, columns in ((DIA_SOURCE, data.sources), (DIA_FORCED_SOURCE, data.forced)):
                if columns is not None and columns.num_rows:
                    self._append(table, columns, explain)
                    note_filled(self._db.session, state, table, columns)
            if data.visit is not None:
                self._write_visit(data.visit)
            if data.tile is not None:
                self._db.session.execute(f'INSERT INTO "{TILES.name}" VALUES ({data.tile[0]}, {data.tile[1]})')
            if data.time is not None:
                # Last, because every tile of a visit wants this row.
                note_moment(self._db.session, state, data.time)

    def _check_order(self, data: VisitData, state: State) -> None:
        if data.time is not None and state.moment is not None and data.time < state.moment:
            raise OutOfOrder(
                f"the visit time {data.time} lies before {state.moment}, the newest stored; visits are stored in the "
                "order of their times"
            )
        if data.visit is None:
            return
        last = last_row(self._db.session)
        if last is not None and (data.visit.visitId <= last.visitId or data.visit.visitTime <= last.visitTime):
            raise OutOfOrder(
                f"visit {data.visit.visitId} at {data.visit.visitTime} does not come after visit {last.visitId} at "
                f"{last.visitTime}, the last one stored"
            )

    def _write_objects(self, objects: pa.Table, explain: bool) -> None:
        last = self._config.has_last
        self._db.session.stage(objects.select(self._last.names if last else ["diaObjectId"]))
        if not self._config.dia_object_nightly:
            end = literal(objects.column("validityStart")[0].as_py())
            self._db.run("DiaObject truncate", self._db.session.close_versions(end, last), explain)
        if last:
            self._write_last(explain)
        self._append(self._versions, objects, explain)

    def _write_last(self, explain: bool) -> None:
        names = self._last.names
        if self._config.object_last_replace:
            return self._db.run("DiaObjectLast insert", self._db.session.upsert(names), explain)
        staged = 'SELECT "diaObjectId" FROM l1_stage'
        self._db.run("DiaObjectLast delete", f'DELETE FROM "DiaObjectLast" WHERE "diaObjectId" IN ({staged})', explain)
        columns = ", ".join(f'"{name}"' for name in names)
        insert = f'INSERT INTO "DiaObjectLast" ({columns}) SELECT {columns} FROM l1_stage'
        return self._db.run("DiaObjectLast insert", insert, explain)

    def _append(self, table: TableDef, columns: pa.Table, explain: bool) -> None:
        LOG.info("%s: will store %d records", table.name, columns.num_rows)
        if explain:
            LOG.info("explain for %s insert: rows are appended in bulk, there is no plan", table.name)
        with self._db.timings.stage(f"{table.name} insert"):
            self._db.session.append(table.name, columns)

    def _write_visit(self, visit: Visit) -> None:
        ids = ", ".join("NULL" if i is None else str(int(i)) for i in (visit.lastObjectId, visit.lastSourceId))
        values = f"({int(visit.visitId)}, {literal(visit.visitTime)}, {ids})"
        self._db.session.execute(f'INSERT INTO "{VISITS.name}" VALUES {values}')
        self._db.session.execute(f'DELETE FROM "{TILES.name}" WHERE "visitId" <= {int(visit.visitId)}')
