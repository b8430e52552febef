"""A query plan as one SQL statement.

Rows come in the order in which they lie: frozen tables are never written, so that order is stable. A single table
is read by a sequential or a bitmap scan, which give it for nothing (`read_pool` sees to that); a join whose answer
is cut into pages is sorted by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ..domain.query import Comparison
from ..domain.query_plan import Output, OutputKind, Predicate, QueryPlan, Source, has_valid
from ..domain.query_values import Box
from ..domain.schemas import Column, SqlType
from . import literals
from .sql import quote
from .tables import qualified, visible

_ARRAYS = {
    SqlType.BIGINT: "bigint",
    SqlType.INTEGER: "bigint",
    SqlType.DOUBLE: "float8",
    SqlType.BOOLEAN: "boolean",
    SqlType.TEXT: "text",
}
_CASTS = {
    OutputKind.INT64: "bigint",
    OutputKind.INT32: "integer",
    OutputKind.FLOAT32: "real",
    OutputKind.FLOAT64: "float8",
    OutputKind.BOOLEAN: "boolean",
    OutputKind.TEXT: "text",
}


def select(plan: QueryPlan, as_of: datetime, *, percent: float | None = None) -> str:
    """The rows asked for. `as_of` is the version's moment; `percent` of the first table is looked at, if given."""
    columns = ", ".join(f"{_output(plan, output)} AS {quote(output.name)}" for output in plan.outputs)
    if plan.count:
        return f"SELECT count(*) AS count FROM {_body(plan, as_of, percent)}"
    return f"SELECT {columns} FROM {_body(plan, as_of, percent)}{_page(plan)}"


def reaches(plan: QueryPlan, as_of: datetime, limit: int, *, percent: float | None = None) -> str:
    """Whether more than `limit` rows follow the offset: one boolean."""
    body = _body(plan, as_of, percent)
    return f"SELECT count(*) > {limit} FROM (SELECT 1 FROM {body} LIMIT {limit + 1} OFFSET {plan.offset}) AS rows"


def single_scan(plan: QueryPlan) -> bool:
    """Whether the statement reads one table only, in the order in which its rows lie."""
    return len(plan.sources) == 1 and not _segmented(plan, 0)


def _body(plan: QueryPlan, as_of: datetime, percent: float | None) -> str:
    conditions = [*_base_conditions(plan, as_of), *(_condition(plan, p) for p in plan.predicates)]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return _from(plan, percent) + where


def _from(plan: QueryPlan, percent: float | None) -> str:
    sample = "" if percent is None else f" TABLESAMPLE BERNOULLI ({percent!r})"
    text = _relation(plan, 0, sample)
    for link in plan.links:
        left, right = _name(plan, link.left, link.left_column), _name(plan, link.right, link.right_column)
        on = f"{left} = {right}"
        if not _segmented(plan, link.right):
            text += f" JOIN {_relation(plan, link.right, '')} ON {on}"
        else:
            text += f" JOIN ({_relation(plan, link.right, '')}) ON {on}"
    return text


def _relation(plan: QueryPlan, number: int, sample: str) -> str:
    source = plan.sources[number]
    text = f"{qualified(source.name)} AS t{number}{sample}"
    if _segmented(plan, number):
        text += f" LEFT JOIN {qualified(source.segmentation or '')} AS s{number} ON s{number}.id = t{number}.id"
    return text


def _segmented(plan: QueryPlan, number: int) -> bool:
    """Whether a split table's looked-up ids are needed at all."""
    if plan.sources[number].segmentation is None:
        return False
    used = [output.column for output in plan.outputs if output.source == number and not plan.count]
    used += [p.column for p in plan.predicates if p.source == number]
    for link in plan.links:
        used += [column for at, column in _ends(link) if at == number]
    return any(column.is_segmentation for column in used)


def _ends(link: object) -> tuple[tuple[int, Column], tuple[int, Column]]:
    return (link.left, link.left_column), (link.right, link.right_column)  # type: ignore[attr-defined]


def _name(plan: QueryPlan, number: int, column: Column) -> str:
    beside = column.is_segmentation and plan.sources[number].split
    return f"{'s' if beside else 't'}{number}.{quote(column.name)}"


def _output(plan: QueryPlan, output: Output) -> str:
    if output.column.is_segmentation and _has_no_ids(plan.sources[output.source]):
        return f"NULL::{_CASTS[output.kind]}"
    name = _name(plan, output.source, output.column)
    if output.axis is None:
        return f"{name}::{_CASTS[output.kind]}"
    place = f"ST_{output.axis.upper()}({name})"
    if output.kind is OutputKind.FLOAT64:
        return f"{place} * {output.scale!r}::float8"
    return f"{place}::integer" if output.scale == 1 else f"({place}::integer * {int(output.scale)})::integer"


def _has_no_ids(source: Source) -> bool:
    """A split version of a table that had no segmentation table yet: its ids are unknown."""
    return source.split and source.segmentation is None


def _base_conditions(plan: QueryPlan, as_of: datetime) -> Iterator[str]:
    for number, source in enumerate(plan.sources):
        if source.split:
            yield visible(f"t{number}", literals.timestamp(as_of), has_valid=has_valid(source))
        elif has_valid(source):
            # True of every row that we froze; versions made by CAVE may hold others.
            yield f"t{number}.{quote('valid')}"


def _condition(plan: QueryPlan, predicate: Predicate) -> str:
    if predicate.column.is_segmentation and _has_no_ids(plan.sources[predicate.source]):
        name = "NULL::bigint"
    else:
        name = _name(plan, predicate.source, predicate.column)
    value, comparison = predicate.value, predicate.comparison
    if isinstance(value, Box):
        return _inside(name, value)
    if isinstance(value, tuple):
        return _member(name, predicate.column, value, comparison)
    if comparison is Comparison.NULL:
        return f"{name} IS {'' if value else 'NOT '}NULL"
    return f"{name} {comparison.value} {literals.scalar(value)}"


def _member(name: str, column: Column, values: tuple[literals.Scalar, ...], comparison: Comparison) -> str:
    """A NULL is in no list, and outside of none: it is the missing answer to either question."""
    listed = literals.array(values, _ARRAYS[column.type])
    if comparison is Comparison.IN:
        return f"{name} = ANY ({listed})"
    return f"{name} <> ALL ({listed})" if values else "true"


def _inside(name: str, box: Box) -> str:
    """The index knows positions as floats of 32 bits, rounded outward, so the exact ones are compared as well."""
    low, high = (", ".join(map(repr, corner)) for corner in (box.low, box.high))
    parts = [f"{name} &&& ST_3DMakeBox(ST_MakePoint({low}), ST_MakePoint({high}))::geometry"]
    for axis, least, most in zip("XYZ", box.low, box.high, strict=True):
        parts.append(f"ST_{axis}({name}) BETWEEN {least!r}::float8 AND {most!r}::float8")
    return f"({' AND '.join(parts)})"


def _page(plan: QueryPlan) -> str:
    if plan.limit is None and not plan.offset:
        return ""
    order = "" if single_scan(plan) else f" ORDER BY {_places(plan)}"
    limit = "" if plan.limit is None else f" LIMIT {plan.limit}"
    return f"{order}{limit}" + (f" OFFSET {plan.offset}" if plan.offset else "")


def _places(plan: QueryPlan) -> str:
    return ", ".join(f"t{number}.ctid" for number in range(len(plan.sources)))
