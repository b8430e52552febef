# ruff: noqa: N802, N803 - methods and arguments are spelled as in the prototype, whose interface this is
"""The database of the alert production at the level of science objects: `L1db`, and the records it takes and gives."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lsst.sphgeom import Region

from .config import L1dbConfig, SourceSelect, read_config
from .htm import cover
from .records import (
    DiaForcedSource,
    DiaObject,
    DiaObject_short,
    DiaSource,
    DiaSource_full,
    Visit,
    naive_utc,
    to_columns,
    to_records,
)
from .sqlstore import SqlStore
from .store import Store, VisitData
from .tables import DIA_FORCED_SOURCE, DIA_OBJECT, DIA_SOURCE
from .timing import Timings

__all__ = ["DiaForcedSource", "DiaObject", "DiaObject_short", "DiaSource", "DiaSource_full", "L1db", "Visit"]

_LOG = logging.getLogger("l1db")
Ids = npt.NDArray[np.int64]


class L1db:
    """Stores and restores DIA objects, sources and forced sources.

    Every method has a twin that ends in `_batch` and deals in Arrow tables with one column per field; the methods
    named as in the prototype convert to and from lists of named tuples, once per call. Times are naive UTC in
    the tuples; aware ones are converted.

    Parameters
    ----------
    config
        Name of the configuration file.

    Raises
    ------
    ConfigError
        The file is missing, or a section, key, value or combination in it is wrong. The database is not
        touched before the first call.
    """

    def __init__(self, config: str | Path) -> None:
        self._config = read_config(config)
        self.timings = Timings()
        self._store: Store = SqlStore(self._config, self.timings)
        # The prototype's users never close anything.
        weakref.finalize(self, self._store.close)
        for name, word in _described(self._config):
            _LOG.info("    %s: %s", name, word)

    @property
    def config(self) -> L1dbConfig:
        """What the configuration file says."""
        return self._config

    def makeSchema(self, drop: bool = False) -> None:
        """Make the tables; with `drop`, remove every table of this package first.

        Raises SchemaError if tables of another configuration, or of somebody else, are there.
        """
        self._store.make_schema(drop)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._store.close()

    # Reading.

    def getDiaObjects(self, region: Region, explain: bool = False) -> list[Any]:
        """Latest versions of the objects in a region, and of some around it: callers trim.

        Returns `DiaObject` records with `read_full_objects`, else `DiaObject_short`.
        """
        kind = DiaObject if self._config.read_full_objects else DiaObject_short
        return to_records(self.getDiaObjects_batch(region, explain), kind)

    def getDiaObjects_batch(self, region: Region, explain: bool = False) -> pa.Table:
        """`getDiaObjects` as columns."""
        return self._store.read_objects(cover(region, self._config.htm_max_ranges), explain)

    def getDiaSources(
        self,
        region: Region,
        objects: Sequence[Any],
        explain: bool = False,
        *,
        visit_time: datetime | None = None,
    ) -> list[Any]:
        """History of the sources of `objects` (`by-oid`) or in `region` (`by-fov`), as `DiaSource_full`.

        It reaches `read_sources_months` back from `visit_time`, or from the newest moment stored. By region it may hold
        sources outside of it and of other objects. Without objects, or with 0 months, it is empty.
        """
        return to_records(
            self.getDiaSources_batch(region, _ids(objects), explain, visit_time=visit_time), DiaSource_full
        )

    def getDiaSources_batch(
        self, region: Region, ids: Ids, explain: bool = False, *, visit_time: datetime | None = None
    ) -> pa.Table:
        """`getDiaSources` as columns, for object ids."""
        if not self._config.read_sources_months:
            _LOG.info("skipping DiaSources: read_sources_months is 0")
        if not len(ids) or not self._config.read_sources_months:
            return DIA_SOURCE.arrow().empty_table()
        by_region = self._config.source_select is SourceSelect.BY_FOV
        where = cover(region, self._config.htm_max_ranges) if by_region else _as_ids(ids)
        return self._store.read_sources(where, _naive(visit_time), explain)

    def getDiaFSources(
        self, objects: Sequence[Any], explain: bool = False, *, visit_time: datetime | None = None
    ) -> list[Any]:
        """History of the forced sources of `objects`, `read_forced_sources_months` back, as `DiaForcedSource`."""
        return to_records(self.getDiaFSources_batch(_ids(objects), explain, visit_time=visit_time), DiaForcedSource)

    def getDiaFSources_batch(self, ids: Ids, explain: bool = False, *, visit_time: datetime | None = None) -> pa.Table:
        """`getDiaFSources` as columns, for object ids; with `midPointTai`, which the tuples lack."""
        if not self._config.read_forced_sources_months:
            _LOG.info("skipping DiaForcedSources: read_forced_sources_months is 0")
        if not len(ids) or not self._config.read_forced_sources_months:
            return DIA_FORCED_SOURCE.arrow().empty_table()
        return self._store.read_forced(_as_ids(ids), _naive(visit_time), explain)

    # Storing.

    def storeDiaObjects(self, objects: Sequence[Any], dt: datetime, explain: bool = False) -> None:
        """Store new versions of objects, `DiaObject` records, that begin at the visit's time `dt`.

        The versions before them end there. Raises OutOfOrder if `dt` lies before what is stored.
        """
        self.storeDiaObjects_batch(to_columns(objects, DiaObject, DIA_OBJECT), dt, explain)

    def storeDiaObjects_batch(self, objects: pa.Table, dt: datetime, explain: bool = False) -> None:
        """`storeDiaObjects` from columns: those that are NOT NULL, and any others of the table."""
        if objects.num_rows:
            self._store.write(VisitData(time=naive_utc(dt), objects=objects), explain)

    def storeDiaSources(self, sources: Sequence[Any], explain: bool = False) -> None:
        """Store sources, `DiaSource` records."""
        self.storeDiaSources_batch(to_columns(sources, DiaSource, DIA_SOURCE), explain)

    def storeDiaSources_batch(self, sources: pa.Table, explain: bool = False) -> None:
        """`storeDiaSources` from columns: those that are NOT NULL, and any others of the table."""
        if sources.num_rows:
            self._store.write(VisitData(sources=sources), explain)

    def storeDiaForcedSources(
        self, sources: Sequence[Any], explain: bool = False, *, visit_time: datetime | None = None
    ) -> None:
        """Store forced sources, `DiaForcedSource` records, of the visit at `visit_time` or the newest moment stored."""
        columns = to_columns(sources, DiaForcedSource, DIA_FORCED_SOURCE)
        self.storeDiaForcedSources_batch(columns, explain, visit_time=visit_time)

    def storeDiaForcedSources_batch(
        self, sources: pa.Table, explain: bool = False, *, visit_time: datetime | None = None
    ) -> None:
        """`storeDiaForcedSources` from columns."""
        if sources.num_rows:
            self._store.write(VisitData(time=_naive(visit_time), forced=sources), explain)

    def store_visit(
        self,
        visit: Visit,
        objects: pa.Table | None,
        sources: pa.Table | None,
        fsources: pa.Table | None,
        explain: bool = False,
        *,
        tile: int | None = None,
    ) -> None:
        """Store all of a visit in one transaction, so that a crash leaves either all of it or nothing.

        Parameters
        ----------
        visit
            Its id, its time and the largest ids in use after it.
        objects, sources, fsources
            Columns, or None.
        tile
            Number of the part that these rows are; the visit itself is then saved by `saveVisit`, after all parts.
        """
        visit = visit._replace(visitTime=naive_utc(visit.visitTime))
        part = None if tile is None else (visit.visitId, tile)
        whole = visit if tile is None else None
        self._store.write(VisitData(visit.visitTime, objects, sources, fsources, whole, part), explain)

    # Visits and housekeeping.

    def lastVisit(self) -> Visit | None:
        """The last visit that was stored whole, or None; with the largest ids in use after it."""
        return self._store.last_visit()

    def saveVisit(
        self,
        visitId: int,
        visitTime: datetime,
        lastObjectId: int | None = None,
        lastSourceId: int | None = None,
    ) -> None:
        """Remember that a visit is over. Raises OutOfOrder unless it comes after the last one, in id and time."""
        visit = Visit(visitId, naive_utc(visitTime), lastObjectId, lastSourceId)
        self._store.write(VisitData(time=visit.visitTime, visit=visit), False)

    def tilesStored(self, visitId: int) -> frozenset[int]:
        """Tiles of a visit that `store_visit` has stored; empty once the visit is saved."""
        return self._store.tiles_of(visitId)

    def tableRowCount(self) -> dict[str, int]:
        """Rows by table; counting reads them all."""
        return self._store.row_counts()

    def dailyJob(self) -> None:
        """Merge the nightly table if there is one, and let the database tidy up."""
        self._store.daily()


def _ids(objects: Sequence[Any]) -> Ids:
    return np.fromiter((record.diaObjectId for record in objects), dtype=np.int64, count=len(objects))


def _as_ids(ids: Ids) -> Ids:
    # A float array would silently round an id.
    return np.asarray(ids).astype(np.int64, casting="safe", copy=False)


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else naive_utc(moment)


def _described(config: L1dbConfig) -> Iterable[tuple[str, object]]:
    names = (name for name in config.__dataclass_fields__ if name != "url")
    return ((name, getattr(config, name)) for name in names)
