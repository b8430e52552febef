"""Live query: the rows and roots of a moment, from live tables whose roots are of another moment.

Law 1 chooses the rows. The live roots are those of the table's mark (law 2); between it and the moment asked the
graph tells which roots edits replaced and made. Only supervoxels that hold one of these, or none, are asked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..domain.errors import BadRootIds, GatewayRefused, MissingLookups
from ..domain.ports import LAYER_SHIFT, ChunkedGraph, Ids, RootChanges, RootLookup
from ..domain.query import Comparison
from ..domain.query_plan import LiveRoots, QueryPlan
from ..domain.root_ids import among
from ..domain.schemas import Role
from ..storage import live_rows
from ..storage.query_from import used, used_points
from ..storage.read_pool import Reading

_CHOOSING = (Comparison.EQUAL, Comparison.IN)
_MOST_TOLD = 20
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class MomentQuery:
    """What a query of a moment is handed.

    `margin` is by how much windows of the edit log overlap; the log tells of an edit up to `lateness` after it. Where
    `allow_gaps` is false rows that wait for their look-up are refused, where `allow_invalid` is false filters by ids
    that are no roots at the moment.
    """

    reading: Reading
    database: str
    pcg_table: str
    graph: Callable[[], ChunkedGraph]
    look_ups: live_rows.LookUps
    at: datetime
    margin: timedelta
    lateness: timedelta = timedelta(0)
    allow_gaps: bool = False
    allow_invalid: bool = False


@dataclass(frozen=True, slots=True)
class LivePlan:
    """A plan that gives the roots of its moment, and what its reader should be told."""

    plan: QueryPlan
    warnings: tuple[str, ...]
    open_writers: bool
    """Whether rows stamped at or before the moment may still be committed."""


def prepare(query: MomentQuery, plan: QueryPlan) -> LivePlan:
    """The plan with the roots of the moment. Raises MissingLookups, BadRootIds, NeighborDown, StorageUnavailable."""
    facts = live_rows.facts(query.reading, plan, query.at)
    warnings = [*_gaps(query, plan, facts), *_refuse_invalid(query, plan)]
    sources = []
    for number, source in enumerate(plan.sources):
        points = used_points(plan, number)
        roots = _roots(query, plan, number, facts.marks[number]) if points and source.segmentation else None
        sources.append(replace(source, roots=roots))
    return LivePlan(replace(plan, sources=tuple(sources)), tuple(warnings), facts.open_writers)


def _gaps(query: MomentQuery, plan: QueryPlan, facts: live_rows.Facts) -> list[str]:
    told = []
    for number, source in enumerate(plan.sources):
        if not any(column.is_segmentation for column in used(plan, number)):
            continue
        missing = query.look_ups.missing(query.reading, query.database, plan, number, query.at, facts.touched[number])
        if not missing:
            continue
        text = f"{missing} rows of {source.name} wait for the look-up of their supervoxels"
        if not query.allow_gaps:
            told_how = "run an ingest of the table, or ask with allow_missing_lookups=true for rows without ids"
            raise MissingLookups(f"{text}; {told_how}", table=source.name, rows=missing)
        told.append(f"{text}; their ids are missing from the answer")
    return told


def wanted(plan: QueryPlan, number: int) -> dict[str, tuple[int, ...]]:
    """For each root column that a filter pins down, the roots that pass; the shortest list where there are more."""
    found: dict[str, tuple[int, ...]] = {}
    for predicate in plan.predicates:
        if predicate.source == number and predicate.column.role is Role.ROOT and predicate.comparison in _CHOOSING:
            values = predicate.value if isinstance(predicate.value, tuple) else (predicate.value,)
            roots = tuple(value for value in values if isinstance(value, int))
            before = found.get(predicate.column.name)
            found[predicate.column.name] = roots if before is None or len(roots) < len(before) else before
    return found


def _refuse_invalid(query: MomentQuery, plan: QueryPlan) -> list[str]:
    asked = {root for n in range(len(plan.sources)) for roots in wanted(plan, n).values() for root in roots if root}
    if not asked:
        return []
    roots = np.array(sorted(asked), dtype=np.int64)
    invalid = [str(root) for root in roots[~_were_roots(query, roots)]]
    if not invalid:
        return []
    more = f" and {len(invalid) - _MOST_TOLD} more" if len(invalid) > _MOST_TOLD else ""
    text = f"{', '.join(invalid[:_MOST_TOLD])}{more} were no root ids at {query.at.isoformat()}"
    if not query.allow_invalid:
        told = f"{text}; ask for their successors, or with allow_invalid_root_ids=true"
        raise BadRootIds(told, root_ids=[int(root) for root in invalid])
    return [text]


def _were_roots(query: MomentQuery, roots: Ids) -> npt.NDArray[np.bool_]:
    """Which ids were roots at the moment. Those of another layer are not asked: the graph may refuse them.

    At an edit's own millisecond the graph still calls the old root the latest, where rows hold the new one.
    """
    graph = query.graph()
    were = np.zeros(roots.shape, dtype=np.bool_)
    unsure = np.flatnonzero(roots >> LAYER_SHIFT == graph.top_layer())
    for at in (query.at, _later(query.at, _MILLISECOND)):
        if len(unsure):
            were[unsure] = graph.is_latest(roots[unsure], at)
            unsure = unsure[~were[unsure]]
    return were


def _later(moment: datetime, by: timedelta) -> datetime:
    """A moment after another one, as far as there is a calendar."""
    return moment + min(by, datetime.max.replace(tzinfo=UTC) - moment)


def _roots(query: MomentQuery, plan: QueryPlan, number: int, mark: datetime | None) -> LiveRoots | None:
    chosen = wanted(plan, number)
    if mark == query.at:
        return None
    window = None if mark is None else (min(mark, query.at) - query.margin, _later(max(mark, query.at), query.lateness))
    changes = None if window is None else query.graph().root_changes(*window)
    changed = _gone(changes, forward=mark is not None and mark < query.at)
    near: dict[str, tuple[int, ...]] = {}
    if window is not None and changes is not None and changed is not None:
        near = {column: _near(query, roots, changes, changed, window) for column, roots in chosen.items()}
    past = mark is not None and query.at < mark
    pairs, asked, found = _ask(query, plan, number, changed, near, past=past)
    if past and asked.any() and not found.resolved[asked != 0].any():
        # Before its birth the graph knows no root, not even those that no edit made. Background has no birth.
        pairs, asked, found = _ask(query, plan, number, None, {}, past=past)
    candidates = {} if mark is None else _candidates(chosen, pairs, asked, found)
    return LiveRoots(asked, found, candidates)


def _ask(
    query: MomentQuery, plan: QueryPlan, number: int, changed: Ids | None, near: live_rows.Candidates, *, past: bool
) -> tuple[pa.Table, Ids, RootLookup]:
    """The pairs of supervoxel and live root that may be of another moment, those supervoxels, and their roots at it."""
    pairs = live_rows.stale(query.reading, plan, number, query.at, used_points(plan, number), changed, near)
    asked = np.unique(pairs["supervoxel"].to_numpy())
    return pairs, asked, _looked_up(query, asked, past=past)


def _looked_up(query: MomentQuery, asked: Ids, *, past: bool) -> RootLookup:
    """The roots of the moment: of the past as far as history knows them, else as the graph does."""
    roots, resolved = np.zeros_like(asked), np.zeros(asked.shape, dtype=np.bool_)
    if past and len(asked):
        known = live_rows.past_roots(query.reading, query.pcg_table, asked, query.at)
        places = np.searchsorted(asked, known["supervoxel"].to_numpy())
        roots[places], resolved[places] = known["root"].to_numpy(), True
    rest = np.flatnonzero(~resolved)
    if len(rest):
        found = query.graph().roots(asked[rest], query.at)
        roots[rest], resolved[rest] = found.roots, found.resolved
    return RootLookup(roots, resolved)


def _gone(changes: RootChanges | None, *, forward: bool) -> Ids | None:
    """The live roots that may not be roots at the moment: replaced on the way there, or not yet made."""
    if changes is None:
        return None
    return changes.replaced if forward else changes.made


def _near(
    query: MomentQuery, roots: tuple[int, ...], changes: RootChanges, changed: Ids, window: tuple[datetime, datetime]
) -> tuple[int, ...]:
    """The live roots that rows may have whose root at the moment is among `roots`.

    A root that no edit between touched is its own. A row of any other holds one that is gone, and from which edits
    between led to it, or into which they led it.
    """
    asked = np.array(roots, dtype=np.int64)
    touched = asked[among(asked, changes.replaced) | among(asked, changes.made)]
    if not len(touched):
        return roots
    try:
        relatives = query.graph().relatives(touched, *window)
        related = relatives[among(relatives, changed)]
    except GatewayRefused:
        # Not all of them are roots at all.
        related = changed
    return (*roots, *related.tolist())


def _candidates(
    chosen: Mapping[str, tuple[int, ...]], pairs: pa.Table, asked: Ids, found: RootLookup
) -> dict[str, tuple[int, ...]]:
    """Bounds for the live roots of filtered columns; none where a row without a live root passes the filter."""
    bounds = {}
    then = found.roots[np.searchsorted(asked, pairs["supervoxel"].to_numpy())]
    for column, roots in chosen.items():
        passing = pairs["root"].filter(pa.array(np.isin(then, np.array(roots, dtype=np.int64))))
        if not passing.null_count:
            bounds[column] = tuple(sorted({*roots, *pc.unique(passing).to_pylist()}))
    return bounds
