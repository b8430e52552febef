"""A root update's SQL: staging of what to ask, and the one transaction per table that applies the answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from ..domain.plan import TablePlan
from ..domain.ports import Ids, RootLookup
from ..domain.schemas import BoundPoint, schema
from ..kernel import moments
from ..kernel.columns import Connection
from .sql import quote, sql
from .tables import qualified


class RootStage:
    """Staging tables of one run: expired roots, and supervoxels with the root they have at the run's moment."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self._connection = connection
        self._names = {
            "expired": qualified(f"stage_{run_id}_expired", "matengine"),
            "looked_up": qualified(f"stage_{run_id}_roots", "matengine"),
            "born": qualified(f"stage_{run_id}_born", "matengine"),
        }

    def create(self) -> None:
        """Make the staging tables; the janitor drops them when the run is over."""
        self._connection.execute(sql("roots", "create_expired", **self._names))
        self._connection.execute(sql("roots", "create_looked_up", **self._names))
        self._connection.execute(sql("roots", "create_born", **self._names))

    def add_expired(self, run_id: str, roots: Ids) -> None:
        """Stage roots that an edit replaced."""
        table = pa.table({"root": pa.array(roots, pa.int64())})
        self._connection.append(f"stage_{run_id}_expired", table, schema="matengine")

    def stage(self, table: TablePlan, everything: bool) -> None:
        """Stage the supervoxels of a table whose root has expired or is owed, or all of them."""
        for point in _points(table):
            self._connection.execute(self._for(table, point, "stage_supervoxels", everything))

    def ranges(self, batch: int) -> list[tuple[int, int, int]]:
        """(first, last, how many) of each batch of staged supervoxels that were not asked yet."""
        found = self._connection.rows(sql("roots", "stage_ranges", **self._names), batch)
        return [(first, last, size) for first, last, size in found]

    def range(self, first: int, last: int) -> Ids:
        """Staged supervoxels in [first, last] that were not asked yet, sorted."""
        rows = self._connection.table(sql("roots", "staged_range", **self._names), first, last)
        return _ids(rows)

    def late(self, table: TablePlan, everything: bool) -> Ids:
        """Supervoxels of the table that should have been staged, but came in after the scan."""
        parts = [
            _ids(self._connection.table(self._for(table, point, "staged_roots_missing", everything)))
            for point in _points(table)
        ]
        return np.unique(np.concatenate(parts))

    def fill(self, supervoxels: Ids, found: RootLookup) -> None:
        """Stage the answers; an unresolved one is staged as NULL."""
        self._connection.execute("DROP TABLE IF EXISTS pg_temp.looked")
        self._connection.execute("CREATE TEMPORARY TABLE looked (supervoxel bigint, root bigint) ON COMMIT DROP")
        roots = pa.array(found.roots, pa.int64(), mask=~found.resolved)
        answers = pa.table({"supervoxel": pa.array(supervoxels, pa.int64()), "root": roots})
        self._connection.append("looked", answers, temporary=True)
        self._connection.execute(sql("roots", "fill_stage", **self._names))

    def undated(self, roots: Ids) -> Ids:
        """Those of the roots whose beginning was not asked yet, sorted."""
        self._connection.execute("DROP TABLE IF EXISTS pg_temp.asked_roots")
        self._connection.execute("CREATE TEMPORARY TABLE asked_roots (root bigint) ON COMMIT DROP")
        self._connection.append("asked_roots", pa.table({"root": pa.array(roots, pa.int64())}), temporary=True)
        return _ids(self._connection.table(sql("roots", "undated", **self._names)))

    def date(self, roots: Ids, times: Sequence[datetime]) -> None:
        """Stage when each root came to be."""
        self._connection.execute("DROP TABLE IF EXISTS pg_temp.dated")
        self._connection.execute("CREATE TEMPORARY TABLE dated (root bigint, born timestamp) ON COMMIT DROP")
        born = pa.array([moments.naive(time) for time in times], pa.timestamp("us"))
        self._connection.append("dated", pa.table({"root": pa.array(roots, pa.int64()), "born": born}), temporary=True)
        self._connection.execute(sql("roots", "fill_born", **self._names))

    def apply(self, table: TablePlan, pcg_table: str, before: datetime | None, as_of: datetime) -> int:
        """Write the staged roots to the table, with their history; returns the rows changed.

        The caller's transaction holds the table's metadata row FOR UPDATE.
        """
        points = _points(table)
        self._connection.execute("DROP TABLE IF EXISTS pg_temp.patch")
        self._connection.execute(self._patch(table, points))
        self._connection.execute("ANALYZE pg_temp.patch")
        for point in points:
            self._history(table, point, pcg_table, before, as_of)
        assignments = ", ".join(f"{quote(p.root)} = p.{quote(p.root)}" for p in points)
        statement = sql("roots", "apply_patch", segmentation=_segmentation(table), assignments=assignments)
        changed = int(self._connection.value(statement))
        for point in points:
            self._settle(table, point, as_of)
        return changed

    def _patch(self, table: TablePlan, points: tuple[BoundPoint, ...]) -> str:
        patched, joins, changed = [], [], []
        for number, point in enumerate(points):
            alias, root = f"l{number}", quote(point.root)
            joins.append(
                f"LEFT JOIN {self._names['looked_up']} {alias} "
                f"ON {alias}.supervoxel = s.{quote(point.supervoxel)} AND {alias}.asked"
            )
            patched.append(f"CASE WHEN {alias}.supervoxel IS NULL THEN s.{root} ELSE {alias}.root END AS {root}")
            changed.append(f"({alias}.supervoxel IS NOT NULL AND {alias}.root IS DISTINCT FROM s.{root})")
        return sql(
            "roots",
            "build_patch",
            segmentation=_segmentation(table),
            patched=", ".join(patched),
            joins=" ".join(joins),
            changed=" OR ".join(changed),
        )

    def _history(
        self, table: TablePlan, point: BoundPoint, pcg_table: str, before: datetime | None, as_of: datetime
    ) -> None:
        columns = {**_columns(table, point), "born": self._names["born"]}
        if before is not None:
            self._connection.execute(sql("roots", "note_replaced", **columns), pcg_table, moments.naive(before))
        self._connection.execute(sql("roots", "note_written", **columns), pcg_table, moments.naive(as_of))

    def _settle(self, table: TablePlan, point: BoundPoint, as_of: datetime) -> None:
        columns = _columns(table, point)
        self._connection.execute(
            sql("roots", "note_owed", **columns), table.segmentation, point.root, moments.naive(as_of)
        )
        self._connection.execute(sql("roots", "settle", **columns), table.segmentation, point.root)

    def _for(self, table: TablePlan, point: BoundPoint, statement: str, everything: bool) -> str:
        root = f"s.{quote(point.root)}"
        outdated = f"{root} IS NULL OR {root} IN (SELECT root FROM {self._names['expired']})"
        columns = {"segmentation": _segmentation(table), "supervoxel": quote(point.supervoxel)}
        return sql("roots", statement, **self._names, **columns, condition="true" if everything else outdated)


def _points(table: TablePlan) -> tuple[BoundPoint, ...]:
    return schema(table.schema).points


def _segmentation(table: TablePlan) -> str:
    return qualified(table.segmentation or "")


def _columns(table: TablePlan, point: BoundPoint) -> dict[str, str]:
    return {
        "segmentation": _segmentation(table),
        "supervoxel": quote(point.supervoxel),
        "root": quote(point.root),
    }


def _ids(rows: pa.Table) -> Ids:
    values: Ids = rows.column(0).to_numpy().astype(np.int64, copy=False)
    return values
