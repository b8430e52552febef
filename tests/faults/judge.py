"""The final state of a datastack, in a form in which two datastacks of one world can be compared."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import psycopg2

from materializationengine.domain.schemas import schema
from materializationengine.kernel import moments
from materializationengine.kernel.urls import libpq
from materializationengine.storage.sql import quote
from tests.faults.plant import Plant

Rows = list[tuple[Any, ...]]
SEGMENTS = "cellsegment"
META = "SELECT schema, table_name, row_count, is_merged FROM materializedmetadata"
REGISTRY = """
SELECT t.table_name, f.row_count FROM analysistables t JOIN analysisversion v ON v.id = t.analysisversion_id
LEFT JOIN matengine.frozen_table f ON f.analysisversion_id = v.id AND f.table_name = t.table_name WHERE v.version = %s
"""
LOCKS = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND d.datname = %s
"""


@dataclass(frozen=True)
class State:
    """What is there. Names of the datastack, numbers of versions and moments of runs stand by rank; roots, whose ids
    are the datastack's own, by whether they are there: that each is right is asked of the graph.
    """

    live: dict[str, Rows]
    versions: Rows
    frozen: list[dict[str, Rows]]
    runs: Counter[str]


@dataclass(frozen=True)
class Eye:
    """Looks at one datastack."""

    plant: Plant
    datastack: str

    @property
    def volume(self) -> str:
        return f"{self.datastack}_volume"

    def state(self) -> State:
        """Everything that a run may change."""
        versions = self._rows(
            "SELECT version, status::text, valid, is_merged, time_stamp, parent_version FROM analysisversion "
            "WHERE status <> 'FAILED' ORDER BY version"
        )
        there = [row for row in versions if row[1] == "AVAILABLE"]
        return State(
            live=self._live(),
            versions=[(rank, *row[1:4], self._moment(row[4]), row[5]) for rank, row in enumerate(versions, 1)],
            frozen=[self._frozen(rank, row) for rank, row in enumerate(versions, 1) if row in there],
            runs=Counter(kind for (kind,) in self._rows("SELECT kind FROM matengine.run WHERE status = 'SUCCEEDED'")),
        )

    def _live(self) -> dict[str, Rows]:
        found = {
            "tables": self._rows("SELECT schema_type, table_name, valid, deleted FROM annotation_table_metadata"),
            "owed": self._rows("SELECT table_name, annotation_id, column_name, reason FROM matengine.unresolved"),
            "marks": self._rows("SELECT table_name, last_updated FROM segmentation_table_metadata"),
            "history": self._rows("SELECT supervoxel, first_seen, last_seen FROM matengine.root_history"),
        }
        for _, table, *_ in self._rows("SELECT schema_type, table_name FROM annotation_table_metadata"):
            found[table] = self._table(self.volume, table)
            bound = f"{table}__{self.datastack}_pcg"
            if self._rows("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", quote(bound)):
                found[f"{table} bound"] = self._table(self.volume, bound)
        return {name: sorted(self._even(row) for row in rows) for name, rows in found.items()}

    def _frozen(self, rank: int, version: tuple[Any, ...]) -> dict[str, Rows]:
        database = f"{self.datastack}__mat{version[0]}"
        names = self._rows(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'spatial_ref_sys'",
            database=database,
        )
        found = {
            "meta": self._rows(META, database=database),
            "indexes": self._rows("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'", database=database),
            "registry": self._rows(REGISTRY, version[0]),
        }
        for (name,) in names:
            if name == SEGMENTS:
                found[name] = self._rows(f"SELECT count(*) FROM {SEGMENTS}", database=database)
            elif name != "materializedmetadata":
                found[name] = self._table(database, name)
        return {self._plain(name): sorted(self._even(row) for row in rows) for name, rows in found.items()}

    def _table(self, database: str, table: str) -> Rows:
        """Rows by id; of a root only whether it is there, of a position its text."""
        columns = self._rows(
            "SELECT attname, atttypid::regtype::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
            "AND NOT attisdropped ORDER BY attnum",
            quote(table),
            database=database,
        )
        shown = ", ".join(_shown(name, kind) for name, kind in columns)
        return self._rows(f"SELECT {shown} FROM {quote(table)} ORDER BY 1", database=database)

    def wrong_roots(self) -> list[str]:
        """Roots that are not those of their supervoxel at the moment that vouches for them, asked past the proxy."""
        wrong = []
        for table, mark in self._rows("SELECT table_name, last_updated FROM segmentation_table_metadata"):
            if mark is not None:
                wrong += self._wrong(self.volume, table, moments.aware(mark))
        statement = "SELECT version, time_stamp, is_merged FROM analysisversion WHERE status = 'AVAILABLE'"
        for version, moment, merged in self._rows(statement):
            for (table,) in self._rows("SELECT table_name FROM annotation_table_metadata"):
                name = table if merged else f"{table}__{self.datastack}_pcg"
                wrong += self._wrong(f"{self.datastack}__mat{version}", name, moments.aware(moment))
        return wrong

    def _wrong(self, database: str, table: str, at: datetime) -> list[str]:
        if not self._rows("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", quote(table), database=database):
            return []
        services = self.plant.engine.services
        graph = services.graph(services.datastacks.get(self.datastack))
        wrong = []
        for point in schema("synapse").points:
            pairs = self._rows(
                f"SELECT {quote(point.supervoxel)}, {quote(point.root)} FROM {quote(table)} "
                f"WHERE {quote(point.root)} IS NOT NULL",
                database=database,
            )
            found = np.array(pairs, np.int64).reshape(-1, 2)
            right = graph.roots(found[:, 0], at).roots
            if (right != found[:, 1]).any():
                wrong.append(f"{database}.{table}.{point.root}: {int((right != found[:, 1]).sum())} of {len(found)}")
        return wrong

    def left_behind(self) -> list[str]:
        """Open runs and units, staging, builds, locks: nothing of which may outlive a run."""
        found = [f"run {i} is RUNNING" for (i,) in self._rows("SELECT id FROM matengine.run WHERE status = 'RUNNING'")]
        open_units = "SELECT id, action, status FROM matengine.unit WHERE status IN ('WAITING', 'READY', 'RUNNING')"
        found += [f"unit {row}" for row in self._rows(open_units)]
        stages = "SELECT tablename FROM pg_tables WHERE schemaname = 'matengine' AND tablename LIKE 'stage%'"
        found += [f"table {name}" for (name,) in self._rows(stages)]
        builds = "SELECT datname FROM pg_database WHERE datname LIKE 'matengine_build%'"
        found += [f"database {name}" for (name,) in self._rows(builds)]
        known = {row[0] for row in self._rows("SELECT version FROM analysisversion WHERE status = 'AVAILABLE'")}
        for (name,) in self._rows(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", f"{self.datastack}\\_\\_mat%"
        ):
            if int(name.rpartition("mat")[2]) not in known:
                found.append(f"database {name}")
        if self._rows(LOCKS, self.volume) != [(0,)]:
            found.append("an advisory lock")
        return found

    def _rows(self, statement: str, *values: object, database: str | None = None) -> Rows:
        address = libpq(self.plant.cluster.url, database=database or self.volume)
        with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def _even(self, row: tuple[Any, ...]) -> tuple[str, ...]:
        return tuple(self._moment(v) if isinstance(v, datetime) else self._plain(str(v)) for v in row)

    def _plain(self, text: str) -> str:
        return re.sub(rf"\b{self.datastack}__mat\d+", "VERSION", text).replace(self.datastack, "STACK")

    def _moment(self, value: datetime | None) -> str:
        """A schedule's run is of the moment at which it was fired, which no other run shares."""
        return "THEN" if value in self.fired else str(value)

    @cached_property
    def fired(self) -> set[datetime]:
        """The moments of runs that a schedule started."""
        statement = "SELECT as_of FROM matengine.run WHERE requested_by LIKE 'schedule%' AND as_of IS NOT NULL"
        return {moment for (moment,) in self._rows(statement)}


def _shown(name: str, kind: str) -> str:
    if name.endswith("root_id"):
        return f"{quote(name)} IS NULL"
    return f"ST_AsText({quote(name)})" if kind.startswith("geometry") else quote(name)


def newest_only(state: State) -> State:
    """The live database and the newest version, for runs whose first version has gaps.

    History is left out: a root that was looked up late has none from before.
    """
    live = {name: rows for name, rows in state.live.items() if name != "history"}
    return replace(state, live=live, versions=[], frozen=state.frozen[-1:], runs=Counter())
