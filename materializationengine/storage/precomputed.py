"""Annotations for Neuroglancer as SQL: around the statement of a query plan, which knows every form of a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ..domain.precomputed import HASHES, Collection, Extent, Level, Triple
from ..domain.query import Comparison
from ..domain.query_plan import Output, Predicate, QueryPlan
from ..domain.query_values import Box
from . import query_sql
from .sql import quote, sql

_AXES = "xyz"


def texts(plan: QueryPlan, moment: datetime, output: Output, most: int) -> str:
    """Distinct texts of one column, at most so many."""
    alone = replace(plan, outputs=(output,))
    return sql("precomputed", "texts", rows=_rows(alone, moment), column=quote(output.name), most=str(most))


def extent(found: Collection, moment: datetime) -> str:
    """One row: how many annotations there are, their corners, and the most that two ends part along each axis."""
    columns = ["count(*) AS rows"]
    for axis in _AXES:
        ends = [_end(end, axis) for end in found.ends]
        columns.append(f"min(least({', '.join(ends)})) AS low_{axis}")
        columns.append(f"max(greatest({', '.join(ends)})) AS high_{axis}")
        columns.append(f"max(abs({ends[0]} - {ends[-1]})) AS reach_{axis}")
    return _select(found, moment, ", ".join(columns))


def counts(found: Collection, moment: datetime, known: Extent, grid: Triple) -> str:
    """How many annotations each cell of a grid has, as (x, y, z, n); a line is counted in every cell near it."""
    size = [str(span / cells) for span, cells in zip(known.span, grid, strict=True)]
    cells, series = _cells(found, known, size)
    named = ", ".join(f"{cell} AS {axis}" for cell, axis in zip(cells, _AXES, strict=True))
    return _select(found, moment, f"{named}, count(*) AS n", series) + " GROUP BY 1, 2, 3"


def limits(found: Collection, moment: datetime, known: Extent, levels: list[Level]) -> str:
    """The most annotations that a cell of each level has, as (level, n)."""
    rows = ", ".join(
        f"({number}, {level.first}::bigint, {level.last}::bigint, "
        + ", ".join(f"{size!r}::float8" for size in level.size)
        + ")"
        for number, level in enumerate(levels)
    )
    cells, series = _cells(found, known, [f"l.{axis}" for axis in _AXES])
    on = f"JOIN (VALUES {rows}) AS l (level, first, last, x, y, z) ON {_hash(found)} >= l.first"
    body = _select(found, moment, "l.level, count(*) AS n", f"{on} AND {_hash(found)} < l.last{series}")
    grouped = f"{body} GROUP BY l.level, {', '.join(cells)}"
    return f"SELECT level, max(n) AS n FROM ({grouped}) AS c GROUP BY level ORDER BY level"


def chunk(found: Collection, moment: datetime, known: Extent, level: Level, cell: Triple) -> str:
    """The annotations of one cell of a level, in the order of their hashes; lines also of cells near it."""
    low = [o + c * s for o, c, s in zip(known.lower, cell, level.size, strict=True)]
    # One voxel more on each side: the index only has to find the rows, the comparison of cells decides.
    box = Box(
        _triple([at - reach - 1 for at, reach in zip(low, known.reach, strict=True)]),
        _triple([at + size + reach + 1 for at, size, reach in zip(low, level.size, known.reach, strict=True)]),
    )
    near = _with(found, Predicate(found.place.source, found.place.column, Comparison.INSIDE, box, "cell"))
    where = [f"{_hash(found)} >= {level.first}", f"{_hash(found)} < {level.last}"]
    for axis, number, size, low_end in zip(_AXES, cell, level.size, known.lower, strict=True):
        ends = [_cell(_end(end, axis), low_end, repr(size)) for end in found.ends]
        where += [f"least({', '.join(ends)}) <= {number}", f"greatest({', '.join(ends)}) >= {number}"]
    return f"{_select(near, moment, 'a.*')} AND {' AND '.join(where)} ORDER BY {_hash(found)}, {_id(found)}"


def by_value(found: Collection, output: Output, value: int) -> Collection:
    """Those annotations only whose column, of ids, has the value."""
    return _with(found, Predicate(output.source, output.column, Comparison.EQUAL, value, output.name))


def rows(found: Collection, moment: datetime) -> str:
    """Every annotation, whole."""
    return _select(found, moment, "a.*")


def number(found: Collection, moment: datetime) -> str:
    """How many annotations there are."""
    return _select(found, moment, "count(*) AS n")


def _with(found: Collection, predicate: Predicate) -> Collection:
    return replace(found, plan=replace(found.plan, predicates=(*found.plan.predicates, predicate)))


def _select(found: Collection, moment: datetime, columns: str, joined: str = "") -> str:
    """Of the rows that have a place: one without cannot be drawn."""
    placed = " AND ".join(f"{_end(end, 'x')} IS NOT NULL" for end in found.ends)
    return f"SELECT {columns} FROM {_rows(found.plan, moment)} {joined} WHERE {placed}"


def _rows(plan: QueryPlan, moment: datetime) -> str:
    return f"({query_sql.select(plan, moment)}) AS a"


def _cells(found: Collection, known: Extent, sizes: list[str]) -> tuple[list[str], str]:
    """The cell of an annotation along each axis; for a line, joined series of them."""
    lows = zip(_AXES, known.lower, sizes, strict=True)
    if len(found.ends) == 1:
        return [_cell(_end(found.ends[0], axis), low, size) for axis, low, size in lows], ""
    series = ""
    for axis, low, size in lows:
        one, other = (_cell(_end(end, axis), low, size) for end in found.ends)
        series += f" CROSS JOIN LATERAL generate_series(least({one}, {other}), greatest({one}, {other})) AS c{axis}"
    return [f"c{axis}" for axis in _AXES], series


def _cell(end: str, low: int, size: str) -> str:
    return f"floor(({end} - {low}) / {size}::float8)::integer"


def _end(end: str, axis: str) -> str:
    return f"a.{quote(f'{end}_{axis}')}"


def _id(found: Collection) -> str:
    return f"a.{quote(found.id.name)}"


def _hash(found: Collection) -> str:
    return f"(hashint8extended({_id(found)}, 0) & {HASHES - 1})"


def _triple(values: list[float]) -> tuple[float, float, float]:
    x, y, z = values
    return x, y, z
