"""What a query of a moment must know of the live tables before it is asked: marks, gaps, and roots gone stale."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache

from ..domain.ports import Ids
from ..domain.query_plan import Predicate, QueryPlan
from ..domain.root_ids import among
from ..domain.schemas import BoundPoint, Role
from ..kernel import moments
from . import literals
from .query_sql import conditions, filters
from .read_pool import Reading, ReadPool
from .sql import quote, sql
from .tables import qualified

Candidates = Mapping[str, tuple[int, ...]]

FEW_ROOTS = 100
"""Roots whose rows are so few that all of their supervoxels are fetched, rather than those of changed roots alone."""

MANY_PAIRS = 20_000
"""Pairs of supervoxel and root that weigh more than two round trips."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands in the metadata of a plan's tables, in its own snapshot.

    `marks` are the moments whose roots the segmentation tables hold (law 2), `touched` when the tables were last
    written to; each aligned with the plan's sources, None where nothing is known. `open_writers` tells whether
    somebody may still commit a row stamped at or before the moment.
    """

    marks: tuple[datetime | None, ...]
    touched: tuple[datetime | None, ...]
    open_writers: bool


def facts(reading: Reading, plan: QueryPlan, at: datetime) -> Facts:
    """All of it in one statement, which also shows whom the transaction serves."""
    tables = literals.array(tuple(source.name for source in plan.sources), "text")
    beside = literals.array(tuple(source.segmentation or "" for source in plan.sources), "text")
    arguments = (tables, beside, literals.timestamp(at), literals.escaped(reading.name))
    found = reading.prepared_table("moment_facts", sql("moment", "facts"), *arguments).to_pylist()
    reading.signed = ""
    marks = tuple(None if row["mark"] is None else moments.aware(row["mark"]) for row in found)
    return Facts(marks, tuple(row["touched"] for row in found), found[0]["open_writers"])


def size(pool: ReadPool, database: str, table: str) -> int:
    """Rows of a table or view, of whatever moment."""
    return int(pool.value(database, f"SELECT count(*) FROM {qualified(table)}"))  # type: ignore[call-overload]


def are_there(pool: ReadPool, database: str, tables: tuple[str, ...]) -> bool:
    """Whether all of some tables are in the database."""
    names = literals.array(tuple(qualified(table) for table in tables), "text")
    return bool(
        pool.value(database, f"SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest({names}) AS t (name)")
    )


def stale(
    reading: Reading,
    plan: QueryPlan,
    number: int,
    at: datetime,
    points: Sequence[BoundPoint],
    changed: Ids | None,
    near: Candidates,
) -> pa.Table:
    """Distinct (supervoxel, root): what rows of a table hold whose live root is missing or among `changed`.

    `changed` None takes every root. `near` bounds the live roots of filtered columns; the filters on anything but
    roots, which edits cannot change, hold already. Rows that are not of the moment may be among those looked at.
    Background is no exception: after a look-up of supervoxels alone its root, 0, is missing too.
    """
    if near and min(map(len, near.values())) <= FEW_ROOTS:
        return _gone(_short(reading, _pairs_near(plan, number, at, points, near)), changed)
    return reading.table(_pairs_changed(plan, number, at, points, changed, near))


def _short(reading: Reading, pairs: str) -> pa.Table:
    """In one round trip, unless they are so many that holding them twice would cost memory."""
    found = reading.short_table(f"{pairs} LIMIT {MANY_PAIRS + 1}")
    return found if found.num_rows <= MANY_PAIRS else reading.table(pairs)


def _pairs_changed(
    plan: QueryPlan, number: int, at: datetime, points: Sequence[BoundPoint], changed: Ids | None, near: Candidates
) -> str:
    """Point by point, so that the index of each root column finds the changed ones in a large table."""
    body, where = _rows(plan, number, at, joined=True)
    where += _near(near)
    parts = []
    for point in points:
        supervoxel, root = f"s0.{quote(point.supervoxel)}", f"s0.{quote(point.root)}"
        gone = "true" if changed is None else _among(point.root, tuple(changed.tolist()))
        found = " AND ".join([*where, f"{supervoxel} IS NOT NULL", f"({gone} OR {root} IS NULL)"])
        parts.append(f"SELECT {supervoxel} AS supervoxel, {root} AS root FROM {body} WHERE {found}")
    return " UNION ".join(parts)


def _pairs_near(plan: QueryPlan, number: int, at: datetime, points: Sequence[BoundPoint], near: Candidates) -> str:
    """Every pair of the rows that a filter by few roots leaves: to list hundreds of changed roots takes longer (m).

    Whether such a row is of the moment need not be known, and is not looked up where nothing else is.
    """
    written = any(not each.column.is_segmentation for each in _lasting(plan, number))
    body, where = _rows(plan, number, at, joined=written)
    where += _near(near)
    pairs = ", ".join(f"(s0.{quote(point.supervoxel)}, s0.{quote(point.root)})" for point in points)
    held = f"{body} CROSS JOIN LATERAL (VALUES {pairs}) AS held (supervoxel, root)"
    return f"SELECT DISTINCT supervoxel, root FROM {held} WHERE {' AND '.join([*where, 'supervoxel IS NOT NULL'])}"


def _rows(plan: QueryPlan, number: int, at: datetime, *, joined: bool) -> tuple[str, list[str]]:
    """Rows of a segmentation table, beside those of the annotation table where `joined`, and what lasts of filters."""
    source = replace(plan.sources[number], roots=None)
    beside = f"{qualified(source.segmentation or '')} s0"
    alone = QueryPlan((source,), (), (), _lasting(plan, number), plan.resolution, {})
    if joined:
        body = f"{qualified(source.name)} t0 JOIN {beside} ON s0.id = t0.id"
        return body, conditions(alone, at, alone.predicates)
    return beside, filters(alone)


def _near(near: Candidates) -> list[str]:
    return [f"({_among(column, roots)} OR s0.{quote(column)} IS NULL)" for column, roots in near.items()]


def _gone(pairs: pa.Table, changed: Ids | None) -> pa.Table:
    if changed is None:
        return pairs
    stale = among(pc.fill_null(pairs["root"], 0).to_numpy(), changed)
    return pairs.filter(pc.or_(pa.chunked_array([stale]), pc.is_null(pairs["root"])))


def past_roots(reading: Reading, pcg_table: str, supervoxels: Ids, at: datetime) -> pa.Table:
    """What root history knows of some supervoxels at a moment: (supervoxel, root), at most one root of each."""
    asked, graph = literals.array(tuple(supervoxels.tolist()), "bigint"), literals.escaped(pcg_table)
    return reading.table(sql("moment", "past_roots", asked=asked, pcg_table=graph, at=literals.timestamp(at)))


def _lasting(plan: QueryPlan, number: int) -> tuple[Predicate, ...]:
    return tuple(replace(p, source=0) for p in plan.predicates if p.source == number and p.column.role is not Role.ROOT)


def _among(column: str, roots: tuple[int, ...]) -> str:
    return f"s0.{quote(column)} = ANY ({literals.array(roots, 'bigint')})"


class LookUps:
    """Whether rows of a table still wait for their supervoxels.

    That a table has none is remembered until it is written to again: the look costs a pass over both tables.
    """

    def __init__(self, size: int = 1024) -> None:
        self._complete: LRUCache[tuple[str, str], datetime] = LRUCache(size)
        self._guard = threading.Lock()

    def missing(
        self, reading: Reading, database: str, plan: QueryPlan, number: int, at: datetime, touched: datetime | None
    ) -> int:
        """Rows of the moment that pass the filters on what people wrote, and that nobody has looked up.

        `touched` is when the table was written to last, as the reading's snapshot has it.
        """
        source, key = plan.sources[number], (database, plan.sources[number].name)
        with self._guard:
            if touched is not None and self._complete.get(key) == touched:
                return 0
        names = {"annotation": qualified(source.name), "gap": _gap(source.segmentation)}
        if not reading.value(sql("moment", "any_gap", **names)):
            if touched is not None:
                with self._guard:
                    self._complete[key] = touched
            return 0
        written = tuple(p for p in _lasting(plan, number) if not p.column.is_segmentation)
        alone = QueryPlan((replace(source, roots=None),), (), (), written, plan.resolution, {})
        where = " AND ".join([_gap(source.segmentation), *conditions(alone, at, written)])
        found = reading.value(f"SELECT count(*) FROM {qualified(source.name)} t0 WHERE {where}")
        return int(found)  # type: ignore[call-overload]


def _gap(segmentation: str | None) -> str:
    if segmentation is None:
        return "true"
    return f"NOT EXISTS (SELECT 1 FROM {qualified(segmentation)} g WHERE g.id = t0.id)"
