"""A root update's SQL: staging of what to ask, and of the answers, which `root_patch` applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa

from ..domain.estimate import lookup_units
from ..domain.plan import TablePlan
from ..domain.ports import Ids, RootLookup
from ..domain.schemas import BoundPoint, schema
from ..kernel import moments
from ..kernel.columns import Connection
from .sql import PARALLEL, literal, quote, sql
from .tables import qualified

_END = 1 << 63
"""What no supervoxel reaches, as the database has them."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """A table that stands before the run's moment: what to ask of it.

    `everything` asks all its supervoxels, not only those whose root expired or is owed. Roots of a table that is not
    `vouched` for (it has no mark) are of unknown age, and are not remembered.
    """

    table: TablePlan
    everything: bool
    vouched: bool


def staging_tables(run_id: str) -> dict[str, str]:
    """The staging tables of a run, as its statements call them."""
    parts = {"expired": "expired", "asked": "asked", "answers": "roots", "born": "born"}
    return {name: qualified(f"stage_{run_id}_{part}", "matengine") for name, part in parts.items()}


class RootStage:
    """Staging tables of one run: expired roots, and supervoxels with the root they have now and the one they get."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self._connection, self._run_id = connection, run_id
        self._names = staging_tables(run_id)

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
        parts = [self._supervoxels(one, point) for one in outdated for point in schema(one.table.schema).points]
        empty = "SELECT NULL::bigint AS supervoxel, NULL::bigint AS held WHERE false"
        union = " UNION ALL ".join(parts) or empty
        self._connection.execute(PARALLEL)
        # They must be sorted anyway, and few of them are equal (m: at a million rows half as long as with a hash).
        self._connection.execute("SET LOCAL enable_hashagg = off")
        self._connection.execute(sql("roots", "stage_supervoxels", **self._names, parts=union))
        self._connection.execute(sql("roots", "index_staged", **self._names))
        self._connection.execute(sql("roots", "analyze_staged", **self._names))

    def _supervoxels(self, outdated: Outdated, point: BoundPoint) -> str:
        held = f"s.{quote(point.root)}" if outdated.vouched else "NULL::bigint"
        statement = "all_supervoxels" if outdated.everything else "outdated_supervoxels"
        return sql("roots", statement, **self._names, **columns(outdated.table, point), held=held)

    def staged(self) -> int:
        """How many pairs of a supervoxel and a root that it has are to be asked."""
        return int(self._connection.value(sql("roots", "count_staged", **self._names)))

    def ranges(self, staged: int, batch: int) -> list[tuple[int, int]]:
        """First and last of ranges of so many staged pairs: about as many in each, and about `batch` at most."""
        size = -(-staged // max(1, lookup_units(staged, batch)))
        starts = self._connection.rows(sql("roots", "range_starts", **self._names), staged, max(1, size))
        inner = sorted({start for (start,) in starts})[1:]
        return [(begin, end - 1) for begin, end in pairwise((0, *inner, _END))] if staged else []

    def range(self, first: int, last: int) -> tuple[Ids, pa.Table]:
        """Staged supervoxels in [first, last], sorted, and the staged pairs of `supervoxel` and `held` root."""
        rows = self._connection.table(sql("roots", "staged_range", **self._names), first, last)
        return np.unique(ids(rows)), rows

    def fill(self, supervoxels: Ids, found: RootLookup, pairs: pa.Table | None = None) -> None:
        """Stage the answers; an unresolved one is staged as NULL. `pairs` are those that `hold` remembers with them."""
        roots = pa.array(found.roots, pa.int64(), mask=~found.resolved)
        answers = pa.table({"supervoxel": pa.array(supervoxels, pa.int64()), "root": roots})
        if pairs is not None:
            answers = answers.append_column("held", _one_held(supervoxels, pairs))
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
        return ids(self._connection.table(sql("roots", "undated", **self._names)))

    def date(self, roots: Ids, times: Sequence[datetime]) -> None:
        """Stage when each root came to be."""
        self._connection.execute("DROP TABLE IF EXISTS pg_temp.dated")
        self._connection.execute("CREATE TEMPORARY TABLE dated (root bigint, born timestamp) ON COMMIT DROP")
        born = pa.array([moments.naive(time) for time in times], pa.timestamp("us"))
        self._connection.append("dated", pa.table({"root": pa.array(roots, pa.int64()), "born": born}), temporary=True)
        self._connection.execute(sql("roots", "fill_born", **self._names))


def _one_held(supervoxels: Ids, pairs: pa.Table) -> pa.Array:
    """A root that each of the sorted supervoxels has by the staged pairs; null where it has none."""
    held = pairs["held"].fill_null(0).to_numpy()
    one = np.zeros_like(supervoxels)
    one[np.searchsorted(supervoxels, pairs["supervoxel"].to_numpy()[held != 0])] = held[held != 0]
    return pa.array(one, pa.int64(), mask=one == 0)


def segmentation(table: TablePlan) -> str:
    """The segmentation table of a table, qualified."""
    return qualified(table.segmentation or "")


def columns(table: TablePlan, point: BoundPoint) -> dict[str, str]:
    """The names by which statements on one bound point of a table know it."""
    return {"segmentation": segmentation(table), "supervoxel": quote(point.supervoxel), "root": quote(point.root)}


def ids(rows: pa.Table) -> Ids:
    """The first column."""
    values: Ids = rows.column(0).to_numpy().astype(np.int64, copy=False)
    return values
