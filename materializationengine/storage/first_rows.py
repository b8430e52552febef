"""Answers of few rows: in one round trip instead of three, and those of live tables with a plan that is made once."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import partial

import pyarrow as pa

from ..domain.query import Comparison
from ..domain.query_plan import Predicate, QueryPlan
from ..domain.query_values import Box
from ..domain.schemas import Role
from . import literals, query_sql
from .read_pool import Reading

FEW = 1000
"""Rows that are fetched in one piece where hardly more are expected."""

_IDS = (Role.ID, Role.ROOT, Role.SUPERVOXEL)
_SOME = 10
"""Ids whose rows are few together."""


def whole(reading: Reading, plan: QueryPlan, as_of: datetime, percent: float | None) -> pa.Table | None:
    """The whole answer, where filters pin it down to some ids; None where it is, or may be, a long one."""
    if not (plan.count or any(map(_pins, plan.predicates))):
        return None
    select = partial(query_sql.select, plan, as_of, percent=percent, also=reading.signed, most=FEW + 1)
    found = _planned(reading, select) if percent is None and _one_plan_serves(plan) else reading.short_table(select())
    return found if found.num_rows <= FEW else None


def _pins(predicate: Predicate) -> bool:
    if predicate.column.role not in _IDS:
        return False
    listed = predicate.value if isinstance(predicate.value, tuple) else ()
    return predicate.comparison is Comparison.EQUAL or (predicate.comparison is Comparison.IN and len(listed) <= _SOME)


def _one_plan_serves(plan: QueryPlan) -> bool:
    """Whether the rows are found by the index of a live root whatever the values: then planning took half of the time.

    Not so where others than these bound the rows: boxes, pages, other tables.
    """
    roots, simple = plan.sources[0].roots, len(plan.sources) == 1 and not plan.order and plan.after is None
    bounded = roots is not None and bool(roots.candidates) and len(roots.asked) > 0
    return bounded and simple and not any(isinstance(each.value, Box) for each in plan.predicates)


def _planned(reading: Reading, select: partial[str]) -> pa.Table:
    with literals.apart() as held:
        text = select()
    # Its name is its text: what differs in anything but values is another statement.
    name = f"rows_{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    return reading.prepared_table(name, text, *held.values, types=held.types)
