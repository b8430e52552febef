"""A query plan as one SQL statement.

Rows come in the order in which they lie: frozen tables are never written, so that order is stable. A single table
is read by a sequential or a bitmap scan, which give it for nothing (`read_pool` sees to that); a join whose answer
is cut into pages is sorted by it.
"""

from __future__ import annotations

from datetime import datetime

from ..domain.query import Comparison
from ..domain.query_plan import Output, OutputKind, Predicate, QueryPlan
from ..domain.query_values import Box
from ..domain.schemas import Column, SqlType
from . import literals
from .query_from import base_conditions, name, patch_of, relations, with_roots
from .query_pages import order_by, page, past, single_scan, sort_keys
from .sql import quote

__all__ = ["conditions", "filters", "last_keys", "select", "single_scan"]

_ARRAYS = {
    SqlType.BIGINT: "bigint",
    SqlType.INTEGER: "bigint",
    SqlType.DOUBLE: "float8",
    SqlType.BOOLEAN: "boolean",
    SqlType.TEXT: "text",
    SqlType.TIMESTAMP: "timestamp",
}
_CASTS = {
    OutputKind.INT64: "bigint",
    OutputKind.INT32: "integer",
    OutputKind.FLOAT32: "real",
    OutputKind.FLOAT64: "float8",
    OutputKind.BOOLEAN: "boolean",
    OutputKind.TEXT: "text",
    OutputKind.MOMENT: "timestamp",
}


def select(
    plan: QueryPlan, as_of: datetime, *, percent: float | None = None, also: str = "", most: int | None = None
) -> str:
    """The rows asked for. `as_of` is the version's moment; `percent` of the first table is looked at, if given.

    `also` is a condition of the caller's own, the same for every row. Of `most` rows nobody cares which.
    """
    columns = ", ".join(f"{_output(plan, output)} AS {quote(output.name)}" for output in plan.outputs)
    if plan.count:
        return f"{with_roots(plan)}SELECT count(*) AS count FROM {_body(plan, as_of, percent, also)}"
    return f"{with_roots(plan)}SELECT {columns} FROM {_body(plan, as_of, percent, also)}{page(plan, most)}"


def last_keys(plan: QueryPlan, as_of: datetime, *, percent: float | None = None) -> str:
    """The keys of the last row within the limit as JSON, if a row comes after it; else no row."""
    limit, offset = plan.limit or 0, plan.offset
    if plan.has_views:
        # Rows of a view have no place, so that its pages begin at a number of rows; any row tells that there are more.
        seen = offset + limit
        return f"SELECT '[{seen}]' FROM (SELECT FROM {_body(plan, as_of, percent)} LIMIT 1 OFFSET {seen}) AS cut"
    order = "" if single_scan(plan) else order_by(plan)
    inner, outer = sort_keys(plan)
    cut = f"SELECT {inner} FROM {_body(plan, as_of, percent)}{order} LIMIT 2 OFFSET {offset + limit - 1}"
    # Texts are made of the one row that is asked for, not of those that are passed over.
    return f"{with_roots(plan)}SELECT (array_agg({outer}))[1] FROM ({cut}) AS cut HAVING count(*) = 2"


def conditions(plan: QueryPlan, as_of: datetime, predicates: tuple[Predicate, ...]) -> list[str]:
    """The conditions on the rows: those of the moment, some of the plan's, and the cursor's."""
    return [*base_conditions(plan, as_of), *(_condition(plan, p) for p in predicates), *past(plan)]


def filters(plan: QueryPlan) -> list[str]:
    """The plan's own conditions alone, whatever the moment."""
    return [_condition(plan, predicate) for predicate in plan.predicates]


def _body(plan: QueryPlan, as_of: datetime, percent: float | None, also: str = "") -> str:
    found = [*conditions(plan, as_of, plan.predicates), *([also] if also else [])]
    if percent is not None and plan.sources[0].view is not None:
        # A view has no pages of which some could be taken.
        found.append(f"random() < {percent / 100!r}")
    where = f" WHERE {' AND '.join(found)}" if found else ""
    return relations(plan, percent) + where


def _output(plan: QueryPlan, output: Output) -> str:
    text = name(plan, output.source, output.column)
    if output.kind is OutputKind.MOMENT:
        return f"({text}::timestamp AT TIME ZONE 'utc')"
    if output.axis is None:
        return f"{text}::{_CASTS[output.kind]}"
    place = f"ST_{output.axis.upper()}({text})"
    if output.kind is OutputKind.FLOAT64:
        return f"{place} * {output.scale!r}::float8"
    return f"{place}::integer" if output.scale == 1 else f"({place}::integer * {int(output.scale)})::integer"


def _condition(plan: QueryPlan, predicate: Predicate) -> str:
    patch = patch_of(plan, predicate.source, predicate.column)
    if patch is None:
        return _compared(name(plan, predicate.source, predicate.column), predicate)
    # Apart: of the whole expression the planner believes that it leaves a single row, for which it would go through
    # every patch; with hundreds of rows and patches that takes longer than all the rest (m).
    live = _compared(f"s{predicate.source}.{quote(predicate.column.name)}", predicate)
    return f"(CASE WHEN {patch}.supervoxel IS NULL THEN {live} ELSE {_compared(f'{patch}.root', predicate)} END)"


def _compared(text: str, predicate: Predicate) -> str:
    value, comparison = predicate.value, predicate.comparison
    if isinstance(value, Box):
        return _inside(text, value)
    if isinstance(value, tuple):
        return _member(text, predicate.column, value, comparison)
    if comparison is Comparison.NULL:
        return f"{text} IS {'' if value else 'NOT '}NULL"
    return f"{text} {comparison.value} {literals.scalar(value)}"


def _member(text: str, column: Column, values: tuple[literals.Scalar, ...], comparison: Comparison) -> str:
    """A NULL is in no list, and outside of none: it is the missing answer to either question."""
    listed = literals.array(values, _ARRAYS[column.type])
    if comparison is Comparison.IN:
        return f"{text} = ANY ({listed})"
    return f"{text} <> ALL ({listed})" if values else "true"


def _inside(text: str, box: Box) -> str:
    """The index knows positions as floats of 32 bits, rounded outward, so the exact ones are compared as well."""
    low, high = (", ".join(map(repr, corner)) for corner in (box.low, box.high))
    parts = [f"{text} &&& ST_3DMakeBox(ST_MakePoint({low}), ST_MakePoint({high}))::geometry"]
    for axis, least, most in zip("XYZ", box.low, box.high, strict=True):
        parts.append(f"ST_{axis}({text}) BETWEEN {least!r}::float8 AND {most!r}::float8")
    return f"({' AND '.join(parts)})"
