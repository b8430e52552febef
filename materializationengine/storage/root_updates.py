"""A root update's SQL: staging of what to ask, and the one transaction per table that applies the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from ..domain.estimate import lookup_units
from ..domain.plan import TablePlan
from ..domain.ports import Ids, RootLookup
from ..domain.schemas import BoundPoint, schema
from ..kernel import moments
from ..kernel.columns import Connection
from .sql import literal, quote, sql
from .tables import qualified

_END = 1 << 63
"""What no supervoxel reaches, as the database has them."""

_PARALLEL = "SET LOCAL parallel_tuple_cost = 0"
"""Such a pass has the database nearly for itself, and the planner would rather send few rows between processes."""

_MANY = 0.05
"""Staged supervoxels for each row of a table from which one pass is cheaper than its indexes (m, at 1M rows)."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """A table that stands before the run's moment: what to ask of it.

    `everything` asks all its supervoxels, not only those whose root expired or is owed. Roots of a table that is not
    `vouched` for (it has no mark) are of unknown age, and are not remembered.
    """

    table: TablePlan
    everything: bool
    vouched: bool


class RootStage:
    """Staging tables of one run: expired roots, and supervoxels with the root they have now and the one they get."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self._connection, self._run_id = connection, run_id
        self._names = {
            "expired": qualified(f"stage_{run_id}_expired", "matengine"),
            "asked": qualified(f"stage_{run_id}_asked", "matengine"),
            "answers": qualified(f"stage_{run_id}_roots", "matengine"),
            "born": qualified(f"stage_{run_id}_born", "matengine"),
        }

    def create(self, *, keyed: bool) -> None:
        """Make the staging tables, empty; the janitor drops them when the run is over.

        `keyed`: no root may be dated twice, which an earlier release takes for granted when it applies a run.
        """
        for name in self._names.values():
            self._connection.execute(f"DROP TABLE IF EXISTS {name}")
        for statement in ("create_expired", "create_answers", "create_born"):
            self._connection.execute(sql("roots", statement, **self._names))
        if keyed:
            self._connection.execute(f"ALTER TABLE {self._names['born']} ADD PRIMARY KEY (root)")

    def add_expired(self, roots: Ids) -> None:
        """Stage roots that an edit replaced."""
        table = pa.table({"root": pa.array(roots, pa.int64())})
        self._connection.append(f"stage_{self._run_id}_expired", table, schema="matengine")
        self._connection.execute(f"ANALYZE {self._names['expired']}")

    def stage(self, outdated: Sequence[Outdated]) -> None:
        """Stage the supervoxels of tables whose root has expired or is owed, or all of them."""
        parts = [self._supervoxels(one, point) for one in outdated for point in _points(one.table)]
        empty = "SELECT NULL::bigint AS supervoxel, NULL::bigint AS held WHERE false"
        union = " UNION ALL ".join(parts) or empty
        self._connection.execute(_PARALLEL)
        self._connection.execute(sql("roots", "stage_supervoxels", **self._names, parts=union))
        self._connection.execute(sql("roots", "index_staged", **self._names))
        self._connection.execute(f"ANALYZE {self._names['asked']}")

    def _supervoxels(self, outdated: Outdated, point: BoundPoint) -> str:
        held = f"s.{quote(point.root)}" if outdated.vouched else "NULL::bigint"
        statement = "all_supervoxels" if outdated.everything else "outdated_supervoxels"
        return sql("roots", statement, **self._names, **_columns(outdated.table, point), held=held)

    def staged(self) -> int:
        """How many pairs of a supervoxel and a root that it has are to be asked."""
        return int(self._connection.value(sql("roots", "count_staged", **self._names)))

    def ranges(self, batch: int) -> list[tuple[int, int]]:
        """First and last of ranges of staged supervoxels: about as many in each, and no more than `batch`."""
        staged = self.staged()
        size = -(-staged // max(1, lookup_units(staged, batch)))
        starts = self._connection.rows(sql("roots", "range_starts", **self._names), max(1, size))
        first = sorted({start for (start,) in starts})
        return [(begin, end - 1) for begin, end in zip(first, [*first[1:], _END], strict=True)] if first else []

    def range(self, first: int, last: int) -> tuple[Ids, pa.Table]:
        """Staged supervoxels in [first, last], sorted, and the staged pairs of `supervoxel` and `held` root."""
        rows = self._connection.table(sql("roots", "staged_range", **self._names), first, last)
        return np.unique(_ids(rows)), rows

    def fill(self, supervoxels: Ids, found: RootLookup) -> None:
        """Stage the answers; an unresolved one is staged as NULL."""
        roots = pa.array(found.roots, pa.int64(), mask=~found.resolved)
        answers = pa.table({"supervoxel": pa.array(supervoxels, pa.int64()), "root": roots})
        self._connection.append(f"stage_{self._run_id}_roots", answers, schema="matengine")

    def hold(self, pairs: pa.Table, supervoxels: Ids, found: RootLookup, pcg_table: str) -> None:
        """Remember which root each supervoxel had, where it has another one now. `supervoxels` are sorted."""
        held = pairs["held"].fill_null(0).to_numpy()
        places = np.searchsorted(supervoxels, pairs["supervoxel"].to_numpy())
        replaced = (held != 0) & (supervoxels[places] != 0) & ((found.roots[places] != held) | ~found.resolved[places])
        self._connection.execute("DROP TABLE IF EXISTS pg_temp.held")
        self._connection.execute("CREATE TEMPORARY TABLE held (supervoxel bigint, root bigint) ON COMMIT DROP")
        kept = pairs.filter(pa.array(replaced)).rename_columns(["supervoxel", "root"])
        self._connection.append("held", kept, temporary=True)
        self._connection.execute(sql("roots", "hold_roots", pcg_table=literal(pcg_table)))

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

    def match(self, table: TablePlan, everything: bool) -> Ids:
        """Gather the rows to change; returns supervoxels that should have been staged too: ask them, and try again.

        An ingest that ran beside the look-ups brought them. From here on the caller's transaction holds the table's
        metadata row FOR UPDATE.
        """
        points = _points(table)
        self._connection.execute("DROP TABLE IF EXISTS pg_temp.patch")
        # Nobody analyzes the answers: it would hold a lock until the end, and the tables of a run would wait for each
        # other. Without knowing them the planner sorts everything for a merge.
        self._connection.execute("SET LOCAL enable_mergejoin = off")
        self._connection.execute(_PARALLEL)
        self._connection.execute(self._patch(table, points, everything))
        late = ({"supervoxel": f"supervoxel{n}", "late": f"late{n}"} for n in range(len(points)))
        found = [_ids(self._connection.table(sql("roots", "late_supervoxels", **names))) for names in late]
        return np.unique(np.concatenate(found))

    def _patch(self, table: TablePlan, points: tuple[BoundPoint, ...], everything: bool) -> str:
        columns, joins, wanted = ["t.id"], [], []
        for n, point in enumerate(points):
            root, supervoxel, answer = f"t.{quote(point.root)}", f"t.{quote(point.supervoxel)}", f"l{n}.supervoxel"
            outdated = self._is_outdated(root)
            late = f"({answer} IS NULL AND {supervoxel} IS NOT NULL AND {'true' if everything else outdated})"
            new = f"CASE WHEN {answer} IS NULL THEN {root} ELSE l{n}.root END"
            columns += [f"{root} AS old{n}", f"{new} AS new{n}", f"{supervoxel} AS supervoxel{n}", f"{late} AS late{n}"]
            joins.append(f"LEFT JOIN {self._names['answers']} l{n} ON {answer} = {supervoxel}")
            wanted.append(f"({answer} IS NOT NULL AND l{n}.root IS DISTINCT FROM {root}) OR {late}")
        return sql(
            "roots",
            "build_patch",
            columns=", ".join(columns),
            source=self._source(table, points, everything),
            joins=" ".join(joins),
            wanted=" OR ".join(wanted),
        )

    def _is_outdated(self, root: str) -> str:
        return sql("roots", "is_outdated", root=root, **self._names)

    def _source(self, table: TablePlan, points: tuple[BoundPoint, ...], everything: bool) -> str:
        """All rows, or those that the expired roots lead to: by the roots' indexes, or by one pass where many do."""
        if everything:
            return _segmentation(table)
        columns = ", ".join(f"s.{quote(name)}" for point in points for name in (point.supervoxel, point.root))
        if self._staged_share(table) > _MANY:
            outdated = " OR ".join(self._is_outdated(f"s.{quote(point.root)}") for point in points)
            names = {"segmentation": _segmentation(table), "columns": columns, "outdated": outdated}
            return f"({sql('roots', 'outdated_among_all', **names)})"
        parts = (
            sql("roots", "outdated_rows", **self._names, **_columns(table, point), columns=columns) for point in points
        )
        return f"({' UNION '.join(parts)})"

    def _staged_share(self, table: TablePlan) -> float:
        names = {"asked": literal(self._names["asked"]), "segmentation": literal(_segmentation(table))}
        return float(self._connection.value(sql("roots", "staged_share", **names)))

    def apply(self, table: TablePlan, pcg_table: str, before: datetime | None, as_of: datetime) -> int:
        """Change the rows that `match` gathered, with their history and what is owed; returns how many they are.

        `before` is the table's mark before this run; without one its old roots were of unknown age.
        """
        points = _points(table)
        assignments = ", ".join(f"{quote(point.root)} = p.new{n}" for n, point in enumerate(points))
        statement = sql("roots", "apply_patch", segmentation=_segmentation(table), assignments=assignments)
        self._connection.execute(statement)
        columns = [{"old": f"old{n}", "new": f"new{n}", "supervoxel": f"supervoxel{n}"} for n in range(len(points))]
        if before is not None:
            replaced = " UNION ALL ".join(sql("roots", "replaced_roots", **names) for names in columns)
            self._connection.execute(sql("roots", "hold_late", **self._names, replaced=replaced), pcg_table)
        for point, names in zip(points, columns, strict=True):
            self._history({**names, **self._names}, pcg_table, before, as_of)
            owed = (table.segmentation, point.root)
            self._connection.execute(sql("roots", "note_owed", **names), *owed, moments.naive(as_of))
            self._connection.execute(sql("roots", "settle", **_columns(table, point)), *owed)
        return int(self._connection.value(sql("roots", "count_patch")))

    def _history(self, names: dict[str, str], pcg_table: str, before: datetime | None, as_of: datetime) -> None:
        if before is not None:
            self._connection.execute(sql("roots", "note_replaced", **names), pcg_table, moments.naive(before))
        self._connection.execute(sql("roots", "note_written", **names), pcg_table, moments.naive(as_of))


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
