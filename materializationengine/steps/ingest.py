"""Ingest: bind each new point to its supervoxel, and through it to its root at the table's `last_updated`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from ..domain.plan import TablePlan, UnitSpec, to_json
from ..domain.ports import Ids, Reason, SupervoxelLookup
from ..domain.root_ids import PointLookup, join_lookups, owed_mask
from ..domain.schemas import BoundPoint, schema
from ..storage import annotation_tables, given_rows, segmentation_rows
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Scan:
    """Find the rows of one table that lack an id, and cut them into ranges.

    Without `roots` only supervoxels are looked up, and every root stays owed.
    """

    table: str
    roots: bool = True


@dataclass(frozen=True, slots=True)
class LookUp:
    """Look up the rows of one table that lack an id and lie in [first_id, last_id].

    `bare` tables are indexed when all their rows are there: a unit of the next step does that.
    """

    table: str
    first_id: int
    last_id: int
    roots: bool = True
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """Build the indexes that a segmentation table was filled without, and check its foreign key."""

    table: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the segmentation table where there is none."""

    table: str


@dataclass(frozen=True, slots=True)
class LookUpGiven:
    """Look up those of the given rows of one table that lack an id."""

    table: str
    ids: tuple[int, ...]
    roots: bool = True


def prepare(work: Work, args: Prepare) -> Report:
    """Make the segmentation table, so that look-ups of given rows may run side by side."""
    table = work.plan.table(args.table)
    annotation_tables.create_segmentation_table(work.connection, work.plan.stack, table)
    vouch_from_the_start(work, table)
    if annotation_tables.is_bare(work.connection, table):
        annotation_tables.index_segmentation_table(work.connection, table)
    return Report(0, {"table": table.name})


def scan(work: Work, args: Scan) -> Report:
    """Make the segmentation table where there is none; one look-up unit for each range of missing rows."""
    table = work.plan.table(args.table)
    annotation_tables.create_segmentation_table(work.connection, work.plan.stack, table)
    vouch_from_the_start(work, table)
    ranges = segmentation_rows.missing_ranges(work.connection, table, work.settings.ingest_batch, args.roots)
    bare = annotation_tables.is_bare(work.connection, table)
    # Rows of several units come faster into a table without indexes, which are built once they are there.
    if bare and len(ranges) < 2:
        annotation_tables.index_segmentation_table(work.connection, table)
        bare = False
    looks = [LookUp(table.name, first, last, args.roots) for first, last, _ in ranges]
    if bare:
        looks[-1] = replace(looks[-1], bare=True)
    return Report(sum(size for *_, size in ranges), {"table": table.name}, tuple(map(_look_up_unit, looks)))


def _look_up_unit(args: LookUp) -> UnitSpec:
    return UnitSpec("ingest.look_up", to_json(args), f"{args.table} {args.first_id}..{args.last_id}")


def index(work: Work, args: Index) -> Report:
    """Index a table that was filled bare; readers and writers of both tables go on."""
    table = work.plan.table(args.table)
    with work.cluster.connect(work.plan.stack.aligned_volume, "foreign key") as brief:
        annotation_tables.refer_to_annotations(brief, table)
        brief.commit()
    annotation_tables.index_segmentation_table(work.connection, table)
    return Report(0, {"table": table.name})


def vouch_from_the_start(work: Work, table: TablePlan) -> None:
    """A table without any root may start at the run's moment; one with roots of unknown age may not."""
    name = table.segmentation or ""
    state = annotation_tables.segmentation_state(work.connection, name, lock="FOR UPDATE")
    if state is not None and state.last_updated is None and not segmentation_rows.has_roots(work.connection, table):
        annotation_tables.move_last_updated(work.connection, name, work.plan.moment)


def look_up(work: Work, args: LookUp) -> Report:
    """Look up one range, and write it in a transaction that holds `last_updated` still."""
    table = work.plan.table(args.table)
    rows = segmentation_rows.missing_rows(work.connection, table, args.first_id, args.last_id, args.roots)
    owed = _bind_rows(work, table, rows, args.roots)
    window = (args.first_id, args.last_id)
    segmentation_rows.note_unresolved(work.connection, table, window, owed, work.plan.moment)
    facts = {"table": table.name, "unresolved": owed.num_rows}
    following = (UnitSpec("ingest.index", to_json(Index(table.name)), table.name),) if args.bare else ()
    return Report(rows.num_rows, facts, following)


def look_up_given(work: Work, args: LookUpGiven) -> Report:
    """Look up given rows, and write them in a transaction that holds `last_updated` still."""
    table = work.plan.table(args.table)
    rows = given_rows.missing_given(work.connection, table, args.ids, args.roots)
    owed = _bind_rows(work, table, rows, args.roots)
    given_rows.note_unresolved_given(work.connection, table, args.ids, owed, work.plan.moment)
    return Report(rows.num_rows, {"table": table.name, "asked": len(args.ids), "unresolved": owed.num_rows})


def _bind_rows(work: Work, table: TablePlan, rows: pa.Table, roots: bool) -> pa.Table:
    """Bind the points of rows that lack an id, write what was found, and return what is still owed.

    The graph is asked before the lock is taken; should an update move the mark in between, it is asked again.
    """
    points = schema(table.schema).points
    ids = _column(rows, "id")
    supervoxels = tuple(_supervoxels(work, table, rows, point) for point in points)
    as_of = last_updated(work, table) if roots else None
    found = _bind(work, supervoxels, as_of)
    held = last_updated(work, table, lock="FOR SHARE")
    if roots and held != as_of:
        found = _bind(work, supervoxels, held)
    segmentation_rows.write_found(work.connection, table, ids, found)
    return _owed(rows, points, found)


def last_updated(work: Work, table: TablePlan, lock: str = "") -> datetime | None:
    state = annotation_tables.segmentation_state(work.connection, table.segmentation or "", lock=lock)
    return state.last_updated if state is not None else None


def _bind(work: Work, supervoxels: tuple[SupervoxelLookup, ...], as_of: datetime | None) -> tuple[PointLookup, ...]:
    if as_of is None:
        return tuple(join_lookups(lookup, None) for lookup in supervoxels)
    graph = work.graph()
    return tuple(join_lookups(lookup, graph.roots(lookup.ids, as_of)) for lookup in supervoxels)


def _supervoxels(work: Work, table: TablePlan, rows: pa.Table, point: BoundPoint) -> SupervoxelLookup:
    """From the volume where the table has none yet; a supervoxel that is there is fixed for ever."""
    known = rows[point.supervoxel]
    there = known.is_valid().to_numpy()
    placed = rows[f"{point.position}_x"].is_valid().to_numpy()
    ids = known.fill_null(0).to_numpy().astype(np.int64)
    reason = np.where(there, np.where(ids == 0, Reason.BACKGROUND, Reason.FOUND), Reason.NOT_LOOKED_UP)
    reason[~there & ~placed] = Reason.NO_POSITION
    ask = ~there & placed
    if ask.any():
        coordinates = np.stack([_column(rows, f"{point.position}_{axis}")[ask] for axis in "xyz"], axis=1)
        answer = work.segmentation().supervoxels(coordinates, table.resolution)
        ids[ask], reason[ask] = answer.ids, answer.reason
    return SupervoxelLookup(ids, reason.astype(np.uint8))


def _column(rows: pa.Table, name: str) -> Ids:
    values: Ids = rows[name].to_numpy()
    return values


def _owed(rows: pa.Table, points: tuple[BoundPoint, ...], found: tuple[PointLookup, ...]) -> pa.Table:
    ids, parts = _column(rows, "id"), []
    for point, lookup in zip(points, found, strict=True):
        for column, known in ((point.supervoxel, lookup.supervoxel_known), (point.root, lookup.root_known)):
            gaps = ~known & rows[column].is_null().to_numpy() & owed_mask(lookup.reason)
            names = np.array([reason.name.lower() for reason in Reason])[lookup.reason[gaps]]
            parts.append(
                pa.table(
                    {
                        "annotation_id": pa.array(ids[gaps], pa.int64()),
                        "column_name": pa.array([column] * int(gaps.sum()), pa.string()),
                        "reason": pa.array(names, pa.string()),
                    }
                )
            )
    return pa.concat_tables(parts)
