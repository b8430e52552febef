"""The question as data: what a caller asks of the tables of a version, by names only.

Nothing here knows whether a name exists; `query_plan.resolve` finds that out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .datastack import Resolution
from .errors import BadQuery


class Comparison(StrEnum):
    """What a filter demands of a column."""

    IN = "in"
    NOT_IN = "not in"
    EQUAL = "="
    GREATER = ">"
    LESS = "<"
    GREATER_EQUAL = ">="
    LESS_EQUAL = "<="
    REGEX = "~"
    INSIDE = "inside"
    NULL = "null"


FILTER_FIELDS: Mapping[str, Comparison] = {
    "filter_in_dict": Comparison.IN,
    "filter_notin_dict": Comparison.NOT_IN,
    "filter_out_dict": Comparison.NOT_IN,
    "filter_equal_dict": Comparison.EQUAL,
    "filter_greater_dict": Comparison.GREATER,
    "filter_less_dict": Comparison.LESS,
    "filter_greater_equal_dict": Comparison.GREATER_EQUAL,
    "filter_less_equal_dict": Comparison.LESS_EQUAL,
    "filter_spatial_dict": Comparison.INSIDE,
    "filter_regex_dict": Comparison.REGEX,
    "filter_null_dict": Comparison.NULL,
}
"""Fields of a body, each `{table: {column: value}}`. The client sends `notin`; `out` is its older name."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition, as asked. `value` is what JSON made of it; `field` names the body's field in messages."""

    field: str
    table: str
    column: str
    comparison: Comparison
    value: Any


@dataclass(frozen=True, slots=True)
class Join:
    """Rows of two tables belong together where these columns are equal."""

    left_table: str
    left_column: str
    right_table: str
    right_column: str


Selection = Mapping[str, tuple[str, ...]]
"""Table to columns, in the order of the answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    `select` is None for every column, a tuple for columns of whichever table has them. `suffixes` are appended to
    names that two tables share. `resolution` is nanometers per unit of the positions in the answer. `sample` is
    about how many rows of the first table to look at, before any filter. `order` names columns, `-` before one of
    them for the largest first; `after` is the cursor of an earlier page.
    """

    tables: tuple[str, ...]
    joins: tuple[Join, ...] = ()
    filters: tuple[Filter, ...] = ()
    select: Selection | tuple[str, ...] | None = None
    suffixes: Mapping[str, str] | tuple[str, ...] | None = None
    limit: int | None = None
    offset: int = 0
    resolution: Resolution | None = None
    count: bool = False
    sample: int | None = None
    order: tuple[str, ...] = ()
    after: str | None = None

    @property
    def paged(self) -> bool:
        """Whether the caller reads page by page: an empty `after` asks for the first one."""
        return bool(self.order) or self.after is not None


def simple_question(table: str, body: Mapping[str, Any], **options: Any) -> Question:
    """The question of one table. `body` holds the fields of rest_api 1.3, their outer types already checked."""
    return _question((table,), (), body, options)


def join_question(body: Mapping[str, Any], **options: Any) -> Question:
    """The question of several tables: `tables` is `[[table, column], ...]`, joined where the columns are equal."""
    listed: Sequence[tuple[str, str]] = body["tables"]
    names = tuple(name for name, _ in listed)
    _refuse_repeated(names)
    first, column = listed[0]
    joins = tuple(Join(first, column, other, its) for other, its in listed[1:])
    return _question(names, joins, body, options)


def live_question(body: Mapping[str, Any], **options: Any) -> Question:
    """The question of a moment: `table`, and `join_tables` as `[[table, column, table, column], ...]`.

    Each join brings one new table to those named before it. Raises BadQuery for one that brings none, or two.
    """
    tables: list[str] = [body["table"]]
    joins = []
    for left, left_column, right, right_column in body.get("join_tables") or ():
        join = Join(left, left_column, right, right_column)
        if left not in tables and right in tables:
            join = Join(right, right_column, left, left_column)
        if join.left_table not in tables or join.right_table in tables:
            told = f"[{left}, {left_column}, {right}, {right_column}] must join one new table to {', '.join(tables)}"
            raise BadQuery(f"join_tables: {told}", field="join_tables")
        tables.append(join.right_table)
        joins.append(join)
    return _question(tuple(tables), tuple(joins), body, options)


def _refuse_repeated(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BadQuery(f"tables: {name!r} is there twice; a table can be joined to others only", field="tables")


def _question(
    tables: tuple[str, ...], joins: tuple[Join, ...], body: Mapping[str, Any], options: Mapping[str, Any]
) -> Question:
    return Question(
        tables=tables,
        joins=joins,
        filters=tuple(_filters(body)),
        select=_selection(body),
        suffixes=_suffixes(body),
        limit=body.get("limit"),
        offset=body.get("offset") or 0,
        resolution=_resolution(body),
        order=tuple(body.get("order_by") or ()),
        after=body.get("after"),
        **options,
    )


def _filters(body: Mapping[str, Any]) -> Iterator[Filter]:
    for field, comparison in FILTER_FIELDS.items():
        for table, columns in (body.get(field) or {}).items():
            for column, value in columns.items():
                yield Filter(field, table, column, comparison, value)


def _selection(body: Mapping[str, Any]) -> Selection | tuple[str, ...] | None:
    chosen = body.get("select_column_map") or body.get("select_columns")
    if not chosen:
        return None
    if isinstance(chosen, Mapping):
        return {table: tuple(columns) for table, columns in chosen.items()}
    return tuple(chosen)


def _suffixes(body: Mapping[str, Any]) -> Mapping[str, str] | tuple[str, ...] | None:
    given = body.get("suffix_map") or body.get("suffixes")
    if not given:
        return None
    return dict(given) if isinstance(given, Mapping) else tuple(given)


def _resolution(body: Mapping[str, Any]) -> Resolution | None:
    given = body.get("desired_resolution")
    if not given:
        return None
    x, y, z = map(float, given)
    return x, y, z
