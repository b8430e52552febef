"""Update root ids: ask which roots expired since each table's mark, and bring its rows to the run's moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from ..domain.errors import GatewayRefused
from ..domain.plan import TablePlan, UnitSpec, to_json
from ..domain.ports import Ids, RootLookup
from ..storage import annotation_tables
from ..storage.root_patch import RootPatch
from ..storage.root_updates import Outdated, RootStage
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Scan:
    """Stage what must be asked, for every table of the run that stands before the run's moment."""

    everything: bool = False


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the roots of the staged supervoxels in [first, last]."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Apply:
    """Write the answers to one table."""

    table: str
    everything: bool = False


def scan(work: Work, args: Scan) -> Report:
    """Ask the graph once for the expired roots of all tables; stage the supervoxels that hold one."""
    stage = RootStage(work.connection, work.run_id)
    stage.create(keyed=not work.plan.late_keys)
    behind = [(table, mark) for table, mark in _marks(work) if mark is None or mark < work.plan.moment]
    marks = [mark for _, mark in behind if mark is not None]
    expired = 0
    if marks and not args.everything:
        since = min(marks) - timedelta(seconds=work.settings.delta_margin)
        # The graph lists edits by when they were written, which may be later than when they count from.
        until = work.plan.moment + timedelta(seconds=work.settings.as_of_margin)
        roots = work.graph().expired_roots(since, until)
        stage.add_expired(roots)
        expired = len(roots)
        _date(work, stage, roots)
    stage.stage([Outdated(table, args.everything or mark is None, mark is not None) for table, mark in behind])
    staged = stage.staged()
    ranges = stage.ranges(staged, work.settings.lookup_batch)
    units = tuple(
        UnitSpec("update_roots.look_up", to_json(LookUp(first, last)), f"from supervoxel {first}")
        for first, last in ranges
    )
    return Report(staged, {"expired_roots": expired}, units)


def _marks(work: Work) -> list[tuple[TablePlan, datetime | None]]:
    found = []
    for table in work.plan.tables:
        if table.segmentation is None:
            continue
        state = annotation_tables.segmentation_state(work.connection, table.segmentation)
        if state is not None:
            found.append((table, state.last_updated))
    return found


def look_up(work: Work, args: LookUp) -> Report:
    """Ask one range of staged supervoxels, once each; stage the answers, and remember the roots that are replaced."""
    stage = RootStage(work.connection, work.run_id)
    supervoxels, pairs = stage.range(args.first, args.last)
    if len(supervoxels):
        found = _ask(work, stage, supervoxels, pairs)
        stage.hold(pairs, supervoxels, found, work.plan.stack.pcg_table)
    return Report(len(supervoxels))


def _ask(work: Work, stage: RootStage, supervoxels: Ids, pairs: pa.Table | None = None) -> RootLookup:
    found = work.graph().roots(supervoxels, work.plan.moment)
    stage.fill(supervoxels, found, pairs)
    _date(work, stage, np.unique(found.roots[found.resolved & (found.roots != 0)]))
    return found


def _date(work: Work, stage: RootStage, roots: Ids) -> None:
    """Ask when roots came to be, once each: it makes the beginning of their history exact.

    Where the graph refuses, history begins at the moment at which a root was seen first.
    """
    undated = stage.undated(roots)
    if not len(undated):
        return
    try:
        times = work.graph().root_times(undated)
    except GatewayRefused:
        return
    stage.date(undated, times)


def apply(work: Work, args: Apply) -> Report:
    """Bring one table to the run's moment: rows, root history and `last_updated` in one transaction.

    A table that stands at that moment or later is left alone: live roots never go back.
    """
    table = work.plan.table(args.table)
    name = table.segmentation or ""
    state = annotation_tables.segmentation_state(work.connection, name, lock="FOR UPDATE")
    if state is None or (state.last_updated is not None and state.last_updated >= work.plan.moment):
        return Report(0, {"table": table.name, "left_alone": True})
    stage = RootStage(work.connection, work.run_id)
    everything = args.everything or state.last_updated is None
    patch = RootPatch(work.connection, work.run_id, table)
    while len(late := patch.match(everything)):
        _ask(work, stage, late)
    changed = patch.apply(work.plan.stack.pcg_table, state.last_updated, work.plan.moment)
    annotation_tables.move_last_updated(work.connection, name, work.plan.moment)
    return Report(changed, {"table": table.name})
