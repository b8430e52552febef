"""A root update's one transaction per table: the rows to change are gathered, and changed with their history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ..domain.plan import TablePlan
from ..domain.ports import Ids
from ..domain.schemas import schema
from ..kernel import moments
from ..kernel.columns import Connection
from .root_updates import columns, ids, segmentation, staging_tables
from .sql import PARALLEL, literal, quote, sql

_MANY = 0.05
"""Staged supervoxels for each row of a table from which one pass is cheaper than its indexes (m, at 1M rows)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the gathered rows: how many, and whether any is late, gets no root, or lost one that nobody remembered."""

    rows: int
    late: bool
    owed: bool
    unheld: bool


class RootPatch:
    """The rows of one table that get other roots, in a temporary table of the caller's transaction."""

    def __init__(self, connection: Connection, run_id: str, table: TablePlan) -> None:
        self._connection, self._table, self._names = connection, table, staging_tables(run_id)
        self._points, self._segmentation = schema(table.schema).points, segmentation(table)
        self._placed = [_placed(number) for number in range(len(self._points))]
        self._facts = Facts(0, late=False, owed=False, unheld=False)

    def match(self, everything: bool) -> Ids:
        """Gather the rows to change; returns supervoxels that should have been staged too: ask them, and try again.

        An ingest that ran beside the look-ups brought them. From here on the caller's transaction holds the table's
        metadata row FOR UPDATE.
        """
        self._connection.execute("DROP TABLE IF EXISTS pg_temp.patch")
        # Nobody analyzes the answers: it would hold a lock until the end, and the tables of a run would wait for each
        # other. Without knowing them the planner sorts everything for a merge.
        self._connection.execute("SET LOCAL enable_mergejoin = off")
        self._connection.execute("SET LOCAL work_mem = '256MB'")
        self._connection.execute(PARALLEL)
        self._connection.execute(self._patch(everything))
        self._facts = self._look()
        if not self._facts.late:
            return np.empty(0, np.int64)
        late = [ids(self._connection.table(sql("roots", "late_supervoxels", **point))) for point in self._placed]
        return np.unique(np.concatenate(late))

    def _look(self) -> Facts:
        names = {
            "late": " OR ".join(point["late"] for point in self._placed),
            "owed": " OR ".join(sql("roots", "is_owed", **point) for point in self._placed),
            "unheld": " OR ".join(sql("roots", "is_unheld", **point) for point in self._placed),
        }
        return Facts(*self._connection.rows(sql("roots", "patch_facts", **names))[0])

    def _patch(self, everything: bool) -> str:
        shown, joins, wanted = ["t.id"], [], []
        for n, point in enumerate(self._points):
            root, supervoxel, answer = f"t.{quote(point.root)}", f"t.{quote(point.supervoxel)}", f"l{n}.supervoxel"
            outdated = self._is_outdated(root)
            late = f"({answer} IS NULL AND {supervoxel} IS NOT NULL AND {'true' if everything else outdated})"
            new = f"CASE WHEN {answer} IS NULL THEN {root} ELSE l{n}.root END"
            shown += [f"{root} AS old{n}", f"{new} AS new{n}", f"{supervoxel} AS supervoxel{n}", f"{late} AS late{n}"]
            shown.append(f"l{n}.held AS held{n}")
            joins.append(f"LEFT JOIN {self._names['answers']} l{n} ON {answer} = {supervoxel}")
            wanted.append(f"({answer} IS NOT NULL AND l{n}.root IS DISTINCT FROM {root}) OR {late}")
        return sql(
            "roots",
            "build_patch",
            columns=", ".join(shown),
            source=self._source(everything),
            joins=" ".join(joins),
            wanted=" OR ".join(wanted),
        )

    def _is_outdated(self, root: str) -> str:
        return sql("roots", "is_outdated", root=root, **self._names)

    def _source(self, everything: bool) -> str:
        """All rows, or those that the expired roots lead to: by the roots' indexes, or by one pass where many do."""
        if everything:
            return self._segmentation
        shown = ", ".join(f"s.{quote(name)}" for point in self._points for name in (point.supervoxel, point.root))
        if self._staged_share() > _MANY:
            outdated = " OR ".join(self._is_outdated(f"s.{quote(point.root)}") for point in self._points)
            names = {"segmentation": self._segmentation, "columns": shown, "outdated": outdated}
            return f"({sql('roots', 'outdated_among_all', **names)})"
        parts = (
            sql("roots", "outdated_rows", **self._names, **columns(self._table, point), columns=shown)
            for point in self._points
        )
        return f"({' UNION '.join(parts)})"

    def _staged_share(self) -> float:
        names = {"asked": literal(self._names["asked"]), "segmentation": literal(self._segmentation)}
        return float(self._connection.value(sql("roots", "staged_share", **names)))

    def apply(self, pcg_table: str, before: datetime | None, as_of: datetime) -> int:
        """Change the rows that `match` gathered, with their history and what is owed; returns how many they are.

        `before` is the table's mark before this run; without one its old roots were of unknown age.
        """
        assignments = ", ".join(f"{quote(point.root)} = p.new{n}" for n, point in enumerate(self._points))
        statement = sql("roots", "apply_patch", segmentation=self._segmentation, assignments=assignments)
        self._connection.execute(statement)
        self._history(pcg_table, before, as_of)
        for point, placed in zip(self._points, self._placed, strict=True):
            column = (self._table.segmentation, point.root)
            if self._facts.owed:
                owed = sql("roots", "is_owed", **placed)
                self._connection.execute(sql("roots", "note_owed", owed=owed), *column, moments.naive(as_of))
            self._connection.execute(sql("roots", "settle", **columns(self._table, point)), *column)
        return self._facts.rows

    def _history(self, pcg_table: str, before: datetime | None, as_of: datetime) -> None:
        changed = " UNION ALL ".join(sql("roots", "changed_roots", **point) for point in self._placed)
        self._connection.execute(sql("roots", "gather_changes", parts=changed))
        if before is not None:
            if self._facts.unheld:
                self._hold_late(pcg_table)
            self._connection.execute(sql("roots", "note_replaced", **self._names), pcg_table, moments.naive(before))
        self._connection.execute(sql("roots", "note_written", **self._names), pcg_table, moments.naive(as_of))

    def _hold_late(self, pcg_table: str) -> None:
        replaced = " UNION ALL ".join(
            sql("roots", "replaced_roots", **point, unheld=sql("roots", "is_unheld", **point)) for point in self._placed
        )
        self._connection.execute(sql("roots", "hold_late", **self._names, replaced=replaced), pcg_table)


def _placed(number: int) -> dict[str, str]:
    """The columns of a point in the temporary table."""
    return {name: f"{name}{number}" for name in ("old", "new", "supervoxel", "late", "held")}
