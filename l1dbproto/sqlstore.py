"""The `Store` on an SQL database."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from .backends import open_session
from .config import L1dbConfig
from .htm import PixelRange
from .nightly import merge_nightly
from .reading import Reader
from .records import Visit
from .setup import create_tables
from .statements import Statements
from .store import Ids, VisitData
from .tables import DIA_FORCED_SOURCE, DIA_OBJECT, DIA_SOURCE, NIGHTLY, TILES, last_table
from .timing import Timings
from .visits import last_row, with_ids
from .writing import Writer


class SqlStore:
    """Reads, writes and housekeeping over one session; which database it is only the session knows."""

    def __init__(self, config: L1dbConfig, timings: Timings) -> None:
        self._config = config
        self._session = open_session(config)
        self._db = Statements(self._session, timings)
        self._reader = Reader(config, self._db)
        self._writer = Writer(config, self._db)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def make_schema(self, drop: bool) -> None:
        """See `Store.make_schema`."""
        # The connection prepares itself for the tables it finds.
        self._session.close()
        create_tables(self._session, drop)

    def read_objects(self, ranges: tuple[PixelRange, ...], explain: bool) -> pa.Table:
        """See `Store.read_objects`."""
        return self._reader.read_objects(ranges, explain)

    def read_sources(self, where: tuple[PixelRange, ...] | Ids, visit_time: datetime | None, explain: bool) -> pa.Table:
        """See `Store.read_sources`."""
        return self._reader.read_sources(where, visit_time, explain)

    def read_forced(self, ids: Ids, visit_time: datetime | None, explain: bool) -> pa.Table:
        """See `Store.read_forced`."""
        return self._reader.read_forced(ids, visit_time, explain)

    def write(self, data: VisitData, explain: bool) -> None:
        """See `Store.write`."""
        self._writer.write(data, explain)

    def last_visit(self) -> Visit | None:
        """See `Store.last_visit`."""
        with self._session.transaction():
            self._db.state()
            visit = last_row(self._session)
            # With a nightly table only the last-object table has all objects.
            objects = "DiaObjectLast" if self._config.has_last else "DiaObject"
            return None if visit is None else with_ids(self._session, visit, objects)

    def tiles_of(self, visit_id: int) -> frozenset[int]:
        """See `Store.tiles_of`."""
        with self._session.transaction():
            self._db.state()
            found = self._session.rows(f'SELECT "tile" FROM "{TILES.name}" WHERE "visitId" = {int(visit_id)}')
        return frozenset(int(tile) for (tile,) in found)

    def row_counts(self) -> dict[str, int]:
        """See `Store.row_counts`."""
        tables = [DIA_OBJECT, DIA_SOURCE, DIA_FORCED_SOURCE]
        tables += [last_table(self._config.read_full_objects)] if self._config.has_last else []
        tables += [NIGHTLY] if self._config.dia_object_nightly else []
        with self._session.transaction():
            self._db.state()
            return {t.name: int(self._session.rows(f'SELECT count(*) FROM "{t.name}"')[0][0]) for t in tables}

    def daily(self) -> None:
        """See `Store.daily`."""
        with self._session.transaction(writing=True):
            self._db.state()
            if self._config.dia_object_nightly:
                merge_nightly(self._db)
        self._session.tidy()
