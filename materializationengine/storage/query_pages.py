"""The order of an answer, and the rows after a cursor.

Without `order_by` frozen rows come in the order in which they lie, live ones by id; with it the same breaks ties, so
that every order is total and no page misses a row or shows one twice. Rows of a view are ordered by all that they show:
those that tie are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..domain.query_plan import Key, QueryPlan
from ..domain.schemas import Column, SqlType
from . import literals
from .query_from import name, segmented


@dataclass(frozen=True, slots=True)
class _SortKey:
    expression: str
    descending: bool = False
    nullable: bool = False
    place: bool = False


def single_scan(plan: QueryPlan) -> bool:
    """Whether the statement reads one table only, in the order in which its rows lie."""
    placed = not plan.live and not plan.has_views
    return len(plan.sources) == 1 and not plan.order and placed and not segmented(plan, 0)


def page(plan: QueryPlan, most: int | None = None) -> str:
    """ORDER BY, LIMIT and OFFSET, as far as they are needed; `most` rows in whatever order they come without it."""
    cut = plan.limit is not None or plan.offset or plan.after is not None
    order = order_by(plan) if (plan.order or cut) and not single_scan(plan) else ""
    limits = [limit for limit in (plan.limit, most) if limit is not None]
    limit = f" LIMIT {min(limits)}" if limits else ""
    return f"{order}{limit}" + (f" OFFSET {plan.offset}" if plan.offset else "")


def order_by(plan: QueryPlan) -> str:
    """The whole order."""
    return " ORDER BY " + ", ".join(
        key.expression + (" DESC" if key.descending else "") + (" NULLS LAST" if key.nullable else "")
        for key in _keys(plan)
    )


def sort_keys(plan: QueryPlan) -> tuple[str, str]:
    """The keys of a row as columns `k0`, `k1`, ..., and these as one JSON array; ids stay whole numbers in it."""
    keys = _keys(plan)
    inner = ", ".join(f"{key.expression} AS k{number}" for number, key in enumerate(keys))
    texts = (f"k{n}::text" if key.place and not plan.live else f"k{n}" for n, key in enumerate(keys))
    return inner, f"json_build_array({', '.join(texts)})::text"


def past(plan: QueryPlan) -> Iterator[str]:
    """The condition that a row comes after the cursor's."""
    if plan.after is None:
        return
    keys = list(zip(_keys(plan), plan.after, strict=True))
    if len(keys) == 1:
        yield from _later(*keys[0])
        return
    ways = [
        " AND ".join([*(_same(*pair) for pair in keys[:number]), later])
        for number, (key, value) in enumerate(keys)
        for later in _later(key, value)
    ]
    yield "(" + " OR ".join(f"({way})" for way in ways) + ")"


def _keys(plan: QueryPlan) -> list[_SortKey]:
    keys = [_SortKey(name(plan, o.source, o.column), o.descending, nullable=True) for o in plan.order]
    if (view := plan.sources[0].view) is not None:
        return keys + [_SortKey(text, nullable=True) for column in view for text in _sortable(plan, column)]
    # A frozen row never moves; a live one may, with every update of its table.
    place = "id" if plan.live else "ctid"
    return keys + [_SortKey(f"t{number}.{place}", place=True) for number in range(len(plan.sources))]


def _sortable(plan: QueryPlan, column: Column) -> tuple[str, ...]:
    text = name(plan, 0, column)
    return tuple(f"ST_{axis}({text})" for axis in "XYZ") if column.type is SqlType.POINTZ else (text,)


def _later(key: _SortKey, value: Key) -> Iterator[str]:
    if value is None:
        return
    text = f"{key.expression} {'<' if key.descending else '>'} {_literal(key, value)}"
    yield f"({text} OR {key.expression} IS NULL)" if key.nullable else text


def _same(key: _SortKey, value: Key) -> str:
    return f"{key.expression} IS NULL" if value is None else f"{key.expression} = {_literal(key, value)}"


def _literal(key: _SortKey, value: Key) -> str:
    assert value is not None
    return f"'{value}'::tid" if key.place and isinstance(value, str) else literals.scalar(value)
