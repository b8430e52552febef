"""Incremental: a version made from a base version, at the cost of what changed in between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np

from ..domain.errors import VerificationFailed
from ..domain.plan import AnnotationSource, TablePlan, UnitSpec, to_json
from ..domain.ports import Ids
from ..domain.schemas import BoundPoint
from ..kernel.trace import Threads
from ..storage import cell_segments, frozen_build, incremental_copy
from ..storage.incremental_base import Base
from ..storage.rest_rows import RowsOf
from ..storage.tables import Shape
from . import frozen
from .freeze import next_units, roots_at
from .freeze_check import Verify
from .work import Report, Work

BASE_TABLES, NEW_SEGMENTS, NEW_TABLES, EXPIRED_ROOTS = 1, 2, 3, 4
"""The phases, numbered as the script of 2019 numbers them."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Make every table: from the base's where it has it, from the live tables where not."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Delete expired roots from `cellsegment`, provided that nothing refers to one; names tables of the build."""

    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """One table of the build: what verification must find, its roots, and how it was made."""

    verify: Verify
    roots: Ids
    in_full: tuple[Shape, ...]
    facts: tuple[int, int, int, int]
    """Rows dropped, rows whose root was replaced, rows put in, supervoxels asked of the graph."""


def copy(work: Work, _: Copy) -> Report:
    """Make all tables side by side from one snapshot, taken when no older writer is left."""
    build = frozen.build(work)
    live, moment = work.plan.stack.aligned_volume, work.plan.moment
    frozen_build.clear(work.cluster, build)
    frozen_build.wait_for_writers(work.cluster, live, moment, work.settings.writer_wait)
    expired = _expired(work)
    with (
        frozen_build.Snapshot(work.cluster, live, moment) as snapshot,
        Threads(_threads(work, BASE_TABLES, NEW_TABLES)) as pool,
    ):
        make = partial(_make, work, snapshot, snapshot.marks(), expired)
        made = list(pool.map(make, work.plan.version_plan.tables))
    units = [unit for table in made for unit in next_units(table.verify)]
    if NEW_SEGMENTS in work.plan.base.phases:
        units.append(_keep_segments(work, made, expired))
    return Report(sum(table.verify.digests[0][1] for table in made), _facts(made, expired), tuple(units))


def _expired(work: Work) -> Ids:
    """Roots that edits replaced since the base; none where no table has any."""
    if not any(table.segmentation for table in work.plan.version_plan.tables):
        return np.zeros(0, np.int64)
    since = work.plan.base.moment - timedelta(seconds=work.settings.delta_margin)
    # The graph lists edits by when they were written, which may be later than when they count from.
    until = work.plan.moment + timedelta(seconds=work.settings.as_of_margin)
    return work.graph().expired_roots(since, until)


def _make(
    work: Work,
    snapshot: frozen_build.Snapshot,
    marks: dict[str, datetime | None],
    expired: Ids,
    table: TablePlan,
) -> Made:
    segmentation = table.segmentation if table.segmentation in marks else None
    stale = segmentation is not None and marks[segmentation] != work.plan.moment
    span = incremental_copy.Span(work.plan.base.moment, expired, partial(_roots_at, work), work.plan.stack.pcg_table)
    digests, in_full, roots, facts = [], [], [np.zeros(0, np.int64)], np.zeros(4, dtype=int)
    for shape in frozen.shapes(work, table, segmentation):
        roots_of = span.roots_of if stale and shape.points else None
        request = frozen_build.TableCopy(shape, table, segmentation, roots_of)
        merged = _merge(work, snapshot, request, span)
        if merged is None:
            whole = replace(request, rows_of=_rows_of(work, table))
            digest = frozen_build.copy_table(work.cluster, snapshot, frozen.build(work), whole)
            in_full.append(shape)
        else:
            digest = merged.digest
            roots.append(merged.roots)
            facts += (merged.dropped, merged.patched, merged.inserted, merged.asked)
        digests.append((shape.table, digest.rows, digest.text))
    verify = Verify(table.name, tuple(digests), compared=not in_full)
    return Made(verify, np.unique(np.concatenate(roots)), tuple(in_full), tuple(facts.tolist()))


def _rows_of(work: Work, table: TablePlan) -> RowsOf | None:
    """Phase 3 reads annotations from the live table, or from the annotation service where the run says so."""
    if work.plan.base.source is AnnotationSource.STORAGE:
        return None
    return partial(work.annotations().rows, work.plan.stack.aligned_volume, table.name)


def _merge(
    work: Work, snapshot: frozen_build.Snapshot, request: frozen_build.TableCopy, span: incremental_copy.Span
) -> incremental_copy.MergedTable | None:
    """None where the base has no such table, in these columns and in order, or where nothing is bound yet."""
    base = _base(work)
    never_bound = bool(request.shape.points) and request.segmentation is None
    if never_bound or not base.has(request.shape):
        return None
    try:
        return incremental_copy.merge_table(work.cluster, snapshot, frozen.build(work), base, request, span)
    except VerificationFailed:
        if work.plan.base.strict:
            raise
    frozen_build.drop_table(work.cluster, frozen.build(work), request.shape.table)
    return None


def _roots_at(work: Work, supervoxels: Ids) -> tuple[Ids, Ids]:
    """Roots at the version's moment, asked of the graph by several threads."""
    parts = np.array_split(supervoxels, _threads(work, EXPIRED_ROOTS))
    with Threads(len(parts)) as pool:
        found = list(pool.map(partial(roots_at, work), parts))
    return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])


def _keep_segments(work: Work, made: list[Made], expired: Ids) -> UnitSpec:
    """Phase 2: the base's distinct roots and those that were put in; a unit of the next step ends with phase 4."""
    build = frozen.build(work)
    inherited = cell_segments.create(work.cluster, build, _base(work), expired)
    whole = [shape for table in made for shape in table.in_full]
    if not inherited:
        whole = [shape for table in made for shape in _shapes(work, table)]
    cell_segments.add(work.cluster, build, np.unique(np.concatenate([table.roots for table in made] or [expired[:0]])))
    with Threads(_threads(work, NEW_SEGMENTS)) as pool:
        list(pool.map(lambda s: cell_segments.add_all(work.cluster, build, s.table, s.points), whole))
    tables = tuple(shape.table for table in made for shape in _shapes(work, table) if shape.points)
    return UnitSpec("incremental.settle", to_json(Settle(tables)), "cellsegment")


def settle(work: Work, args: Settle) -> Report:
    """Phase 4: nothing refers to an expired root any more, so they leave. Raises VerificationFailed.

    The delta reaches past the version's moment, so a root that is still referred to may be alive: the graph says.
    """
    columns: list[tuple[str, BoundPoint]] = [
        (shape.table, point)
        for table in work.plan.version_plan.tables
        for shape in frozen.shapes(work, table, table.segmentation)
        if shape.table in args.tables
        for point in shape.points
    ]
    build = frozen.build(work)
    if not cell_segments.is_open(work.cluster, build):
        return Report(0, {"table": cell_segments.TABLE})
    alive = [_alive(work, build, table, point) for table, point in columns]
    deleted = cell_segments.settle(work.cluster, build, np.unique(np.concatenate([np.zeros(0, np.int64), *alive])))
    return Report(deleted, {"table": cell_segments.TABLE})


def _alive(work: Work, build: str, table: str, point: BoundPoint) -> Ids:
    """Roots of one column that the delta names and that hold at the version's moment all the same."""
    supervoxels, roots = cell_segments.referenced(work.cluster, build, table, point)
    if not len(roots):
        return roots
    found = work.graph().roots(supervoxels, work.plan.moment)
    wrong = found.contradicts(roots)
    if len(wrong):
        first = int(wrong[0])
        raise VerificationFailed(
            f"{table}.{point.root}: {len(wrong)} expired roots are still referenced; root {roots[first]} of supervoxel "
            f"{supervoxels[first]} was replaced before {work.plan.moment.isoformat()}: the base or the live table is "
            f"not true of its moment, so mend it, or freeze in full"
        )
    return roots


def _shapes(work: Work, made: Made) -> list[Shape]:
    table = next(table for table in work.plan.version_plan.tables if table.name == made.verify.table)
    names = {name for name, *_ in made.verify.digests}
    return [shape for shape in frozen.shapes(work, table, table.segmentation) if shape.table in names]


def _facts(made: list[Made], expired: Ids) -> dict[str, object]:
    dropped, patched, inserted, asked = (sum(table.facts[number] for table in made) for number in range(4))
    return {
        "tables": len(made),
        "copied_in_full": [shape.table for table in made for shape in table.in_full],
        "expired_roots": len(expired),
        "dropped": dropped,
        "patched": patched,
        "inserted": inserted,
        "supervoxels_asked": asked,
    }


def _threads(work: Work, *phases: int) -> int:
    return max(1, *(work.plan.base.threads[phase - 1] for phase in phases))


def _base(work: Work) -> Base:
    return Base(work.cluster, work.plan.base.database)
