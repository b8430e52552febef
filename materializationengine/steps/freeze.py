"""Freeze: copy one moment of the live database into a database of its own, check it, publish it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial, reduce
from operator import add

import numpy as np

from .. import __version__
from ..domain.errors import VerificationFailed
from ..domain.names import build_database
from ..domain.plan import TablePlan, UnitSpec, to_json
from ..domain.ports import Ids
from ..domain.schemas import BoundPoint, Role, schema
from ..kernel.columns import Connection
from ..kernel.trace import Threads
from ..storage import cell_segments, frozen_build, frozen_checks, frozen_indexes, version_publishing, version_rebuild
from ..storage.content_digest import FACT, Content, content
from ..storage.tables import Shape, merged_shape, split_shapes
from ..storage.version_content import source
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Create:
    """Make the empty build database."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy every table from one snapshot."""


@dataclass(frozen=True, slots=True)
class Index:
    """Build the indexes of one table of the build."""

    table: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Compare one table with the snapshot; `digests` holds (table of the build, rows, digest) of its shapes.

    `compared` says that the digests were taken of the build's own tables, which were compared already.
    """

    table: str
    digests: tuple[tuple[str, int, str], ...]
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Publish:
    """Make the version available under its name."""


def create(work: Work, _: Create) -> Report:
    """Make the build database; its name is this run's alone."""
    frozen_build.create_build(work.cluster, _build(work), work.plan.stack.aligned_volume)
    return Report()


def copy(work: Work, _: Copy) -> Report:
    """Copy all tables side by side from one snapshot, taken when no older writer is left."""
    live, moment = work.plan.stack.aligned_volume, work.plan.moment
    frozen_build.clear(work.cluster, _build(work))
    frozen_build.wait_for_writers(work.cluster, live, moment, work.settings.writer_wait)
    with (
        frozen_build.Snapshot(work.cluster, live, moment) as snapshot,
        Threads(work.settings.copy_threads) as pool,
    ):
        marks = snapshot.marks()
        digests = list(pool.map(partial(copy_table, work, snapshot, marks), work.plan.version_plan.tables))
    checks = (Verify(table.name, found) for table, found in zip(work.plan.version_plan.tables, digests, strict=True))
    rows = sum(found[0][1] for found in digests)
    return Report(rows, {"tables": len(digests)}, tuple(unit for check in checks for unit in next_units(check)))


def copy_table(
    work: Work, snapshot: frozen_build.Snapshot, marks: dict[str, datetime | None], table: TablePlan
) -> tuple[tuple[str, int, str], ...]:
    stale = table.segmentation in marks and marks[table.segmentation] != work.plan.moment
    segmentation = table.segmentation if table.segmentation in marks else None
    roots_of = partial(roots_at, work) if stale else None
    digests = []
    for shape in shapes(work, table, segmentation):
        request = frozen_build.TableCopy(shape, table, segmentation, roots_of if shape.points else None)
        digest = frozen_build.copy_table(work.cluster, snapshot, _build(work), request)
        digests.append((shape.table, digest.rows, digest.text))
    return tuple(digests)


def roots_at(work: Work, supervoxels: Ids) -> tuple[Ids, Ids]:
    """Live roots are of another moment than the version: ask for those of the version's moment."""
    found = work.graph().roots(supervoxels, work.plan.moment)
    return supervoxels[found.resolved], found.roots[found.resolved]


def next_units(check: Verify) -> tuple[UnitSpec, ...]:
    indexes = tuple(UnitSpec("freeze.index", to_json(Index(name)), name) for name, _, _ in check.digests)
    return (*indexes, UnitSpec("freeze.verify", to_json(check), check.table))


def index(work: Work, args: Index) -> Report:
    """Build the indexes of one table; what an earlier attempt built is kept."""
    shape = _shape(work, args.table)
    settings = work.settings
    kinds = frozen_indexes.build_indexes(
        work.cluster, _build(work), shape.table, shape.columns, settings.spatial_index, settings.copy_threads
    )
    if not work.plan.late_keys:
        frozen_indexes.add_keys(work.cluster, _build(work), [shape.table])
    return Report(0, {"table": shape.table, "spatial": kinds})


def verify(work: Work, args: Verify) -> Report:
    """Count, compare digests, ask roots again. Raises VerificationFailed."""
    table = _frozen_table(work, args.table)
    parts = work.settings.copy_threads
    with Threads(parts) as beside:
        contents = [beside.submit(_content, work, table, (part, parts)) for part in range(parts)]
        _compare(work, args)
        checked = _check_rows(work, table, [(_shape(work, name), rows) for name, rows, _ in args.digests])
    facts = {
        "table": table.name,
        "schema": table.schema,
        "digest": args.digests[0][2],
        "digests": {name: digest for name, _, digest in args.digests},
        "software": __version__,
        FACT: reduce(add, (found.result() for found in contents)).digest,
        **checked,
    }
    return Report(args.digests[0][1], facts)


def _compare(work: Work, args: Verify) -> None:
    for name, rows, digest in () if args.compared else args.digests:
        found = frozen_build.table_digest(work.cluster, _build(work), name, _shape(work, name).columns)
        if (found.rows, found.text) != (rows, digest):
            raise VerificationFailed(f"{name}: {found.rows} rows, digest {found.text}; copied {rows}, digest {digest}")


def _content(work: Work, table: TablePlan, part: tuple[int, int]) -> Content:
    """What readers can recompute from their answers, of one part of the rows: a part for each thread."""
    split = work.plan.version_plan.split
    with work.cluster.connect(_build(work), "digest") as connection:
        known = source(connection, table.name, table.schema, work.plan.stack.pcg_table, split)
        return content(connection, known, work.plan.moment, part)


def _check_rows(work: Work, table: TablePlan, shapes: list[tuple[Shape, int]]) -> dict[str, int]:
    facts: dict[str, int] = {}
    with work.cluster.connect(_build(work), "verify") as connection:
        points = [(shape.table, point) for shape, _ in shapes for point in shape.points]
        held = {shape.table: rows for shape, rows in shapes}
        for name, point in points:
            asked = _ask_again(work, connection, name, point, held[name])
            facts["roots_asked_again"] = facts.get("roots_asked_again", 0) + asked
        if points:
            holder = points[0][0]
            facts["unresolved"] = frozen_checks.count_null_roots(connection, holder, [p for _, p in points])
        facts |= _orphans(connection, table)
    return facts


def _ask_again(work: Work, connection: Connection, table: str, point: BoundPoint, rows: int) -> int:
    supervoxels, roots = frozen_checks.sampled_pairs(connection, table, point, work.settings.verify_roots, rows)
    if not len(supervoxels):
        return 0
    found = work.graph().roots(supervoxels, work.plan.moment)
    wrong = np.flatnonzero(~found.resolved | (found.roots != roots))
    if len(wrong):
        first = int(wrong[0])
        raise VerificationFailed(
            f"{table}.{point.root}: {len(wrong)} of {len(roots)} roots differ from the graph's at "
            f"{work.plan.moment.isoformat()}; supervoxel {supervoxels[first]} has {roots[first]} here, "
            f"{found.roots[first]} there"
        )
    return len(supervoxels)


def _orphans(connection: Connection, table: TablePlan) -> dict[str, int]:
    target = next((c for c in schema(table.schema).annotation_columns() if c.role is Role.TARGET), None)
    reference = table.reference_table
    if target is None or reference is None or not frozen_checks.has_table(connection, reference):
        return {}
    return {"orphans": frozen_checks.count_orphans(connection, table.name, target.name, reference)}


def publish(work: Work, _: Publish) -> Report:
    """Add keys, write the version's metadata, then rename the build and mark the version in one transaction."""
    if work.version is None:
        raise ValueError("a freeze has a version number from the start")
    plan, build = work.plan, _build(work)
    tables = version_publishing.verified_tables(work.connection, work.run_id)
    frozen_indexes.add_keys(work.cluster, build, [name for table in tables for name in table.facts["digests"]])
    merged = not plan.version_plan.split
    version_publishing.write_metadata(work.cluster, build, plan.stack, plan.moment, merged, tables)
    version_publishing.grant_readers(work.cluster, build)
    if plan.version_plan.rebuilds is not None:
        _keep_segments(work, work.version, [name for table in tables for name in table.facts["digests"]])
        version_rebuild.check(work.connection, plan.stack.name, work.version, tables)
    run = (work.run_id, work.token)
    name = version_publishing.publish(work.cluster, work.connection, plan, run, work.version, build)
    return Report(sum(table.rows for table in tables), {"database": name})


def _keep_segments(work: Work, lost: int, names: list[str]) -> None:
    """A lost incremental version had `cellsegment`, which a freeze does not make."""
    if version_rebuild.lost_version(work.connection, work.plan.stack.name, lost).cell_segments:
        columns = ((name, point) for name in names for point in _shape(work, name).points)
        cell_segments.make(work.cluster, _build(work), columns)


def _build(work: Work) -> str:
    return build_database(work.run_id, work.token)


def _frozen_table(work: Work, name: str) -> TablePlan:
    return next(table for table in work.plan.version_plan.tables if table.name == name)


def shapes(work: Work, table: TablePlan, segmentation: str | None) -> tuple[Shape, ...]:
    kind = schema(table.schema)
    if work.plan.version_plan.split:
        return split_shapes(table.name, segmentation, kind)
    return (merged_shape(table.name, kind),)


def _shape(work: Work, name: str) -> Shape:
    tables = work.plan.version_plan.tables
    known = (shape for table in tables for shape in shapes(work, table, table.segmentation))
    return next(shape for shape in known if shape.table == name)
