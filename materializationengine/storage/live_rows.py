"""What a query of a moment must know of the live tables before it is asked: marks, gaps, and roots gone stale."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
from cachetools import LRUCache

from ..domain.ports import Ids
from ..domain.query_plan import Predicate, QueryPlan
from ..domain.schemas import BoundPoint, Role
from ..kernel import moments
from . import literals
from .query_sql import conditions
from .read_pool import Reading, ReadPool
from .sql import quote, sql
from .tables import qualified

Candidates = Mapping[str, tuple[int, ...]]


def mark(reading: Reading, segmentation: str) -> datetime | None:
    """The moment whose roots a segmentation table holds (law 2), as the reading's snapshot has it."""
    found = reading.value(sql("moment", "mark"), segmentation)
    return None if not isinstance(found, datetime) else moments.aware(found)


def size(pool: ReadPool, database: str, table: str) -> int:
    """Rows of a table or view, of whatever moment."""
    return int(pool.value(database, f"SELECT count(*) FROM {qualified(table)}"))  # type: ignore[call-overload]


def open_writers(reading: Reading, at: datetime) -> bool:
    """Whether somebody may still commit a row stamped at or before a moment."""
    return bool(reading.value(sql("moment", "open_writers"), moments.naive(at)))


def vouched(reading: Reading, segmentation: str, column: str, roots: Sequence[int]) -> set[int]:
    """Those of some roots that the table holds, so that they are roots at its mark."""
    listed = literals.array(tuple(roots), "bigint")
    found = reading.table(
        sql("moment", "held_roots", roots=listed, segmentation=qualified(segmentation), column=quote(column))
    )
    return set(found.column(0).to_pylist())


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
    roots, which edits cannot change, hold already.
    """
    source = replace(plan.sources[number], roots=None)
    alone = QueryPlan((source,), (), (), _lasting(plan, number), plan.resolution, {})
    where = conditions(alone, at, alone.predicates)
    where += [f"({_among(column, roots)} OR s0.{quote(column)} IS NULL)" for column, roots in near.items()]
    body = f"{qualified(source.name)} t0 JOIN {qualified(source.segmentation or '')} s0 ON s0.id = t0.id"
    parts = []
    for point in points:
        supervoxel, root = f"s0.{quote(point.supervoxel)}", f"s0.{quote(point.root)}"
        gone = "true" if changed is None else _among(point.root, tuple(changed.tolist()))
        found = " AND ".join([*where, f"{supervoxel} <> 0", f"({gone} OR {root} IS NULL)"])
        parts.append(f"SELECT {supervoxel} AS supervoxel, {root} AS root FROM {body} WHERE {found}")
    return reading.table(" UNION ".join(parts))


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

    def missing(self, reading: Reading, database: str, plan: QueryPlan, number: int, at: datetime) -> int:
        """Rows of the moment that pass the filters on what people wrote, and that nobody has looked up."""
        source, key = plan.sources[number], (database, plan.sources[number].name)
        touched = reading.value(sql("moment", "touched"), source.name)
        with self._guard:
            if touched is not None and self._complete.get(key) == touched:
                return 0
        names = {"annotation": qualified(source.name), "gap": _gap(source.segmentation)}
        if not reading.value(sql("moment", "any_gap", **names)):
            with self._guard:
                if isinstance(touched, datetime):
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
