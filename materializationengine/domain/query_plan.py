"""A question laid over the tables that there are: every name found, every value checked, every output named."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from .datastack import Resolution
from .errors import BadQuery
from .ports import Ids, RootLookup
from .query import Comparison, Filter, Join, Question
from .query_values import Value, check
from .schemas import Column, Role, Schema, SqlType

AXES = "xyz"

MAX_SUFFIX = 63
"""Characters of a suffix: it is repeated in headers, which clients read up to some length only."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveRoots:
    """How the roots of a moment differ from those that the live table holds.

    `asked` are the supervoxels whose live root may be of another moment, `found` their roots at the moment;
    `candidates` lists for a filtered root column every live root that a row of the answer may hold.
    """

    asked: Ids
    found: RootLookup
    candidates: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Source:
    """A table of a version as a query sees it: the columns of a flat table, whatever lies underneath.

    `segmentation` is the second table of a split version, which holds the looked-up ids. A live table is `split`
    too; its roots are those of `roots` where they differ from what it holds. A view has no schema, only columns.
    """

    name: str
    schema: Schema
    resolution: Resolution
    segmentation: str | None = None
    split: bool = False
    live: bool = False
    roots: LiveRoots | None = None
    view: tuple[Column, ...] | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns that can be selected and filtered, in the order of an answer."""
        return self.schema.flat_columns() if self.view is None else self.view

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)


Key = int | float | bool | str | None
"""A value by which rows are sorted, in a cursor."""


class OutputKind(Enum):
    """The type of a column of the answer."""

    INT64 = "int64"
    INT32 = "int32"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BOOLEAN = "boolean"
    TEXT = "text"
    MOMENT = "moment"


_KINDS = {
    SqlType.BIGINT: OutputKind.INT64,
    SqlType.INTEGER: OutputKind.INT32,
    SqlType.DOUBLE: OutputKind.FLOAT32,
    SqlType.BOOLEAN: OutputKind.BOOLEAN,
    SqlType.TEXT: OutputKind.TEXT,
    SqlType.TIMESTAMP: OutputKind.MOMENT,
}


@dataclass(frozen=True, slots=True)
class Output:
    """A column of the answer. A position gives three, one for each `axis`, multiplied by `scale`."""

    name: str
    source: int
    column: Column
    kind: OutputKind
    axis: str | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition on a column of a source; `field` names the filter in messages."""

    source: int
    column: Column
    comparison: Comparison
    value: Value
    field: str


@dataclass(frozen=True, slots=True)
class Link:
    """An equality that joins source `right` to an earlier source `left`."""

    left: int
    left_column: Column
    right: int
    right_column: Column


@dataclass(frozen=True, slots=True)
class Order:
    """A column to sort by; missing values come last, either way."""

    source: int
    column: Column
    descending: bool = False


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A question whose every name is found. `names` maps table to column to its name in the answer.

    `after` holds the keys of the last row of the page before, as `domain.query_order` reads them from a cursor.
    """

    sources: tuple[Source, ...]
    links: tuple[Link, ...]
    outputs: tuple[Output, ...]
    predicates: tuple[Predicate, ...]
    resolution: Resolution
    names: Mapping[str, Mapping[str, str]]
    limit: int | None = None
    offset: int = 0
    count: bool = False
    sample: int | None = None
    order: tuple[Order, ...] = ()
    after: tuple[Key, ...] | None = None

    @property
    def live(self) -> bool:
        """Whether live tables are asked, in which rows have no lasting place."""
        return any(source.live for source in self.sources)

    @property
    def has_views(self) -> bool:
        """Whether rows of a view are asked for, which have no place at all."""
        return any(source.view is not None for source in self.sources)


def resolve(question: Question, sources: Sequence[Source]) -> QueryPlan:
    """Lay a question over its tables, in the order of `question.tables`. Raises BadQuery naming the field."""
    tables = {source.name: number for number, source in enumerate(sources)}
    # As ever: the positions of a join come in the units of the table listed last.
    resolution = question.resolution or sources[-1].resolution
    selected = _selected(question, sources)
    suffixes = _suffixes(question, sources)
    shared = _shared(selected)
    names = [_names(columns, shared, suffix) for columns, suffix in zip(selected, suffixes, strict=True)]
    outputs = tuple(
        output
        for number, columns in enumerate(selected)
        for column in columns
        for output in _outputs(number, column, names[number][column.name], sources[number].resolution, resolution)
    )
    _refuse_twins(outputs)
    return QueryPlan(
        sources=tuple(sources),
        links=tuple(_link(join, sources, tables) for join in question.joins),
        outputs=outputs,
        predicates=tuple(_predicate(asked, sources, tables, suffixes) for asked in question.filters),
        resolution=resolution,
        names={source.name: mapping for source, mapping in zip(sources, names, strict=True)},
        limit=question.limit,
        offset=question.offset,
        count=question.count,
        sample=question.sample,
        order=tuple(_order(text, sources) for text in question.order),
    )


def _order(text: str, sources: Sequence[Source]) -> Order:
    """`column`, or `-column` for the largest first. The first table that has the column gives it."""
    name = text.removeprefix("-")
    for number, source in enumerate(sources):
        column = source.column(name)
        if column is not None and column.type is SqlType.POINTZ:
            raise BadQuery(f"order_by: {name} is a position, which has no order", field="order_by")
        if column is not None:
            return Order(number, column, text.startswith("-"))
    raise _unknown_column("order_by", name, sources)


def _selected(question: Question, sources: Sequence[Source]) -> list[tuple[Column, ...]]:
    select = question.select
    if select is None:
        return [source.columns for source in sources]
    if isinstance(select, tuple):
        for name in select:
            if not any(source.column(name) for source in sources):
                raise _unknown_column("select_columns", name, sources)
        return [_with_supervoxels(source, [n for n in select if source.column(n)]) for source in sources]
    tables = {source.name for source in sources}
    for table in select:
        if table not in tables:
            raise _unknown_table("select_column_map", table, tables)
    return [_chosen(source, select.get(source.name, ())) for source in sources]


def _chosen(source: Source, names: Sequence[str]) -> tuple[Column, ...]:
    for name in names:
        if source.column(name) is None:
            raise _unknown_column(f"select_column_map.{source.name}", name, [source])
    return _with_supervoxels(source, names)


def _with_supervoxels(source: Source, names: Sequence[str]) -> tuple[Column, ...]:
    """A root brings its supervoxel along: clients need it to ask for the root of another moment."""
    wanted: dict[str, None] = {}
    for name in names:
        point = next((point for point in source.schema.points if point.root == name), None)
        if point is not None and point.supervoxel not in names:
            wanted[point.supervoxel] = None
        wanted[name] = None
    return tuple(column for name in wanted if (column := source.column(name)) is not None)


def _shared(selected: Iterable[tuple[Column, ...]]) -> set[str]:
    seen: set[str] = set()
    shared: set[str] = set()
    for columns in selected:
        names = {column.name for column in columns}
        shared |= names & seen
        seen |= names
    return shared


def _suffixes(question: Question, sources: Sequence[Source]) -> list[str]:
    """The suffix of each table: as given, else x, y, z, xx, ... by place."""
    given = question.suffixes
    defaults = [AXES[number % 3] * (number // 3 + 1) for number in range(len(sources))]
    if given is None:
        return defaults
    if isinstance(given, tuple):
        suffixes = [*given[: len(sources)], *defaults[len(given) :]]
    else:
        tables = {source.name for source in sources}
        for table in given:
            if table not in tables:
                raise _unknown_table("suffix_map", table, tables)
        suffixes = [given.get(source.name, defaults[number]) for number, source in enumerate(sources)]
    if any(len(suffix) > MAX_SUFFIX for suffix in suffixes):
        raise BadQuery(f"suffix_map: a suffix has at most {MAX_SUFFIX} characters", field="suffix_map")
    if len(set(suffixes)) < len(suffixes):
        raise BadQuery(f"suffix_map: the suffixes {suffixes} must differ", field="suffix_map")
    return suffixes


def _names(columns: Iterable[Column], shared: set[str], suffix: str) -> dict[str, str]:
    return {column.name: column.name + (suffix if column.name in shared else "") for column in columns}


def _outputs(number: int, column: Column, name: str, table: Resolution, wanted: Resolution) -> tuple[Output, ...]:
    if column.type is not SqlType.POINTZ:
        return (Output(name, number, column, _KINDS[column.type]),)
    scales = [have / want for have, want in zip(table, wanted, strict=True)]
    # One kind for all three: a client stacks them into one array.
    kind = OutputKind.INT32 if all(scale.is_integer() for scale in scales) else OutputKind.FLOAT64
    return tuple(
        Output(f"{name}_{axis}", number, column, kind, axis, scale) for axis, scale in zip(AXES, scales, strict=True)
    )


def _refuse_twins(outputs: Sequence[Output]) -> None:
    names = [output.name for output in outputs]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        told = f"{', '.join(twins)} would stand twice in the answer; give suffixes that tell them apart"
        raise BadQuery(f"suffix_map: {told}", field="suffix_map")
    if not names:
        raise BadQuery("select_columns: at least one column must be selected", field="select_columns")


def _link(join: Join, sources: Sequence[Source], tables: Mapping[str, int]) -> Link:
    left, left_column = _joined(join.left_table, join.left_column, sources, tables)
    right, right_column = _joined(join.right_table, join.right_column, sources, tables)
    if left_column.type is not right_column.type or left_column.type is SqlType.POINTZ:
        raise BadQuery(
            f"tables: {join.left_table}.{join.left_column} ({left_column.type.value}) cannot equal "
            f"{join.right_table}.{join.right_column} ({right_column.type.value})",
            field="tables",
        )
    return Link(left, left_column, right, right_column)


def _joined(table: str, name: str, sources: Sequence[Source], tables: Mapping[str, int]) -> tuple[int, Column]:
    if table not in tables:
        raise _unknown_table("tables", table, tables)
    column = sources[tables[table]].column(name)
    if column is None:
        raise _unknown_column(f"tables.{table}", name, [sources[tables[table]]])
    return tables[table], column


def _predicate(
    asked: Filter, sources: Sequence[Source], tables: Mapping[str, int], suffixes: Sequence[str]
) -> Predicate:
    if asked.table not in tables:
        raise _unknown_table(asked.field, asked.table, tables)
    number = tables[asked.table]
    column = sources[number].column(asked.column)
    if column is None:
        number, column = _elsewhere(asked, sources, suffixes)
    return Predicate(
        number, column, asked.comparison, check(asked, column), f"{asked.field}.{asked.table}.{asked.column}"
    )


def _elsewhere(asked: Filter, sources: Sequence[Source], suffixes: Sequence[str]) -> tuple[int, Column]:
    """The one column that a name can mean which its own table does not have.

    The client keys every filter of a merged reference table by the table that refers, so it may be a column of another
    table; or it is the name that a column has in the answer, or in the client's table and view managers.
    """
    found = [(number, column) for number, source in enumerate(sources) if (column := source.column(asked.column))]
    if not found:
        found = [
            (number, column)
            for number, source in enumerate(sources)
            for column in source.columns
            if asked.column in _other_names(column, source, suffixes[number])
        ]
    if len(found) == 1:
        return found[0]
    named = [source for source in sources if source.name == asked.table]
    raise _unknown_column(f"{asked.field}.{asked.table}", asked.column, named if not found else sources)


def _other_names(column: Column, source: Source, suffix: str) -> Iterator[str]:
    """`pt_root_id` with the suffix `_ref` is `pt_root_id_ref` in the answer, and `pt_ref_root_id` in a manager.

    A manager takes the whole name of a view's position for that of its point.
    """
    yield column.name + suffix
    if column.point:
        yield column.point + suffix + column.name.removeprefix(column.point)
    if source.view is not None and column.type is SqlType.POINTZ:
        yield f"{column.name}_position"


def _unknown_table(field: str, name: str, known: Iterable[str]) -> BadQuery:
    there = ", ".join(sorted(known))
    return BadQuery(f"{field}: {name!r} is not a table of this query; there are {there}", field=f"{field}.{name}")


def _unknown_column(field: str, name: str, sources: Sequence[Source]) -> BadQuery:
    known = list(dict.fromkeys(column.name for source in sources for column in source.columns))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    tables = " and ".join(source.name for source in sources)
    return BadQuery(f"{field}: {tables} has no column {name!r}; {hint}", field=f"{field}.{name}")


def has_valid(source: Source) -> bool:
    """Whether rows of the table say whether they are valid."""
    return any(column.role is Role.VALID for column in source.columns)
