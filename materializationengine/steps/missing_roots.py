"""Missing roots: rows that have their supervoxels and lack a root, looked up at the table's `last_updated`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from ..domain.plan import TablePlan, UnitSpec, to_json
from ..domain.ports import Reason, RootLookup
from ..domain.root_ids import PointLookup
from ..domain.schemas import BoundPoint, schema
from ..storage import annotation_tables, rootless_rows, segmentation_rows
from . import ingest
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Scan:
    """Cut the rows of one table that lack a root into ranges.

    `dense` cuts the ids evenly, which sorts nothing and suits a table where most rows lack one; else each range holds
    as many such rows as the others.
    """

    table: str
    dense: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """Look up the missing roots of the rows in [first_id, last_id]."""

    table: str
    first_id: int
    last_id: int


def scan(work: Work, args: Scan) -> Report:
    """One unit for each range of rows that lack a root; `last_updated` is not moved."""
    table = work.plan.table(args.table)
    if annotation_tables.segmentation_state(work.connection, table.segmentation or "") is None:
        return Report(0, {"table": table.name, "ranges": 0})
    # A table without any root can be vouched for from now on; without a mark there is no moment to ask at.
    ingest.vouch_from_the_start(work, table)
    ranges = list(_even(work, table) if args.dense else _by_rows(work, table))
    units = tuple(
        UnitSpec("missing_roots.fill", to_json(Fill(table.name, first, last)), f"{table.name} {first}..{last}")
        for first, last in ranges
    )
    return Report(0, {"table": table.name, "ranges": len(units)}, units)


def _by_rows(work: Work, table: TablePlan) -> Iterator[tuple[int, int]]:
    for first, last, _ in rootless_rows.ranges(work.connection, table, work.settings.lookup_batch):
        yield first, last


def _even(work: Work, table: TablePlan) -> Iterator[tuple[int, int]]:
    found = rootless_rows.extent(work.connection, table)
    if found is not None:
        first, last, _ = found
        for start in range(first, last + 1, work.settings.lookup_batch):
            yield start, min(start + work.settings.lookup_batch - 1, last)


def fill(work: Work, args: Fill) -> Report:
    """Write the roots of one range in a transaction that holds `last_updated` still; a root that is there is kept."""
    table = work.plan.table(args.table)
    points = schema(table.schema).points
    rows = rootless_rows.read(work.connection, table, args.first_id, args.last_id)
    as_of = ingest.last_updated(work, table)
    found = _ask(work, rows, points, as_of)
    held = ingest.last_updated(work, table, lock="FOR SHARE")
    if held != as_of:
        found = _ask(work, rows, points, held)
    segmentation_rows.write_found(work.connection, table, rows["id"].to_numpy(), found)
    owed = _owed(rows, points, found)
    rootless_rows.note(work.connection, table, (args.first_id, args.last_id), owed, work.plan.moment)
    return Report(rows.num_rows, {"table": table.name, "unresolved": owed.num_rows})


def _ask(work: Work, rows: pa.Table, points: tuple[BoundPoint, ...], as_of: datetime | None) -> tuple[PointLookup, ...]:
    return tuple(_ask_point(work, rows, point, as_of) for point in points)


def _ask_point(work: Work, rows: pa.Table, point: BoundPoint, as_of: datetime | None) -> PointLookup:
    known = rows[point.supervoxel].is_valid().to_numpy()
    gaps = known & rows[point.root].is_null().to_numpy()
    supervoxels = rows[point.supervoxel].fill_null(0).to_numpy().astype(np.int64)
    roots, resolved = np.zeros_like(supervoxels), np.zeros(len(supervoxels), dtype=bool)
    if as_of is not None and gaps.any():
        answer: RootLookup = work.graph().roots(supervoxels[gaps], as_of)
        roots[gaps], resolved[gaps] = answer.roots, answer.resolved
    failed = Reason.NOT_LOOKED_UP if as_of is None else Reason.UNKNOWN_TO_GRAPH
    reason = np.where(gaps & ~resolved, failed, Reason.FOUND).astype(np.uint8)
    return PointLookup(supervoxels, known, roots, resolved, reason)


def _owed(rows: pa.Table, points: tuple[BoundPoint, ...], found: tuple[PointLookup, ...]) -> pa.Table:
    parts = []
    for point, lookup in zip(points, found, strict=True):
        gaps = lookup.reason != Reason.FOUND
        names = np.array([reason.name.lower() for reason in Reason])[lookup.reason[gaps]]
        parts.append(
            pa.table(
                {
                    "annotation_id": pa.array(rows["id"].to_numpy()[gaps], pa.int64()),
                    "column_name": pa.array([point.root] * int(gaps.sum()), pa.string()),
                    "reason": pa.array(names, pa.string()),
                }
            )
        )
    return pa.concat_tables(parts)
