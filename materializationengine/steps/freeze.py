"""Freeze: copy one moment of the live database into a database of its own, check it, publish it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from ..domain.plan import TablePlan, UnitSpec, to_json
from ..domain.ports import Ids
from ..kernel.trace import Threads
from ..storage import cell_segments, frozen_build, frozen_indexes, version_publishing, version_rebuild
from . import frozen
from .freeze_check import Verify
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
class Publish:
    """Make the version available under its name."""


def create(work: Work, _: Create) -> Report:
    """Make the build database; its name is this run's alone."""
    frozen_build.create_build(work.cluster, frozen.build(work), work.plan.stack.aligned_volume)
    return Report()


def copy(work: Work, _: Copy) -> Report:
    """Copy all tables side by side from one snapshot, taken when no older writer is left."""
    live, moment = work.plan.stack.aligned_volume, work.plan.moment
    frozen_build.clear(work.cluster, frozen.build(work))
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
    for shape in frozen.shapes(work, table, segmentation):
        request = frozen_build.TableCopy(shape, table, segmentation, roots_of if shape.points else None)
        digest = frozen_build.copy_table(work.cluster, snapshot, frozen.build(work), request)
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
    shape = frozen.shape(work, args.table)
    settings = work.settings
    kinds = frozen_indexes.build_indexes(
        work.cluster, frozen.build(work), shape.table, shape.columns, settings.spatial_index, settings.copy_threads
    )
    if not work.plan.late_keys:
        frozen_indexes.add_keys(work.cluster, frozen.build(work), [shape.table])
    return Report(0, {"table": shape.table, "spatial": kinds})


def publish(work: Work, _: Publish) -> Report:
    """Add keys, write the version's metadata, then rename the build and mark the version in one transaction."""
    if work.version is None:
        raise ValueError("a freeze has a version number from the start")
    plan, build = work.plan, frozen.build(work)
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
        columns = ((name, point) for name in names for point in frozen.shape(work, name).points)
        cell_segments.make(work.cluster, frozen.build(work), columns)
