"""Annotations as Neuroglancer reads them: which columns give geometry, properties and relationships, and the levels.

Facts of the format: github.com/google/neuroglancer, `src/datasource/precomputed/annotations.md`. An annotation's
level follows from a hash of its id, so every request finds the same one without anything being written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .datastack import Resolution
from .errors import BadRequest
from .query_plan import Output, OutputKind, QueryPlan
from .schemas import Column, Role, SqlType

HASHES = 1 << 32
"""How many hashes there are: those of an annotation's id are spread evenly over [0, HASHES)."""

MOST_LABELS = 1000
"""Distinct texts up to which a column of texts becomes a property; more are free text, not labels."""

MOST_LEVELS = 11
_CELLS_PER_LIMIT = 16
"""Cells of the finest grid for each that evenly spread annotations would need: they are never spread evenly."""

_KINDS = {
    OutputKind.INT32: "int32",
    OutputKind.FLOAT32: "float32",
    OutputKind.TEXT: "uint32",
    OutputKind.BOOLEAN: "uint8",
}
_SIZES = {"int32": 4, "float32": 4, "uint32": 4, "uint8": 1}
TRUTH = ("false", "true", "missing")

Triple = tuple[int, int, int]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Property:
    """A value beside an annotation, in one of the format's types; `labels` name the values 0, 1, 2, ..."""

    name: str
    kind: str
    labels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return _SIZES[self.kind]


@dataclass(frozen=True, slots=True)
class Collection:
    """A table as annotations. `plan` gives just the columns needed; the rest are their names in its answer.

    `ends` are one position (a point) or two (a line), each three columns `{end}_x`, `_y`, `_z` in voxels of
    `resolution`; `place` is the column of the first end. `relationships` are columns of root ids.
    """

    plan: QueryPlan
    resolution: Resolution
    id: Output
    place: Output
    ends: tuple[str, ...]
    properties: tuple[Property, ...]
    relationships: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Extent:
    """Where annotations are: rows, corners in voxels (the upper one exclusive), and how far the ends of one part."""

    rows: int
    lower: Triple
    upper: Triple
    reach: Triple

    @property
    def span(self) -> Triple:
        """Voxels along each axis."""
        x, y, z = (high - low for low, high in zip(self.lower, self.upper, strict=True))
        return x, y, z


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the spatial index: the annotations whose hash is in [first, last), in cells of `size` voxels."""

    key: str
    grid: Triple
    size: tuple[float, float, float]
    first: int
    last: int
    limit: int = 0


def collection(plan: QueryPlan, texts: Mapping[str, Sequence[str]]) -> Collection:
    """A table as annotations. `plan` selects every column; `texts` are the labels of its columns of texts.

    Raises BadRequest where the table has no position, or more than two.
    """
    ends = positions(plan)
    roots = tuple(output for output in plan.outputs if _is_root(plan, output))
    found = [each for output in plan.outputs if (each := _property(output, texts)) is not None]
    ident = next(output for output in plan.outputs if output.column.role is Role.ID)
    properties = tuple(sorted(found, key=lambda each: -each.size))
    named = {each.name for each in properties}
    places = tuple(output for output in plan.outputs if output.name[:-2] in ends and output.axis)
    values = tuple(output for output in plan.outputs if output.name in named)
    chosen = replace(plan, outputs=(ident, *places, *values, *roots))
    return Collection(chosen, plan.resolution, ident, places[0], ends, properties, roots)


def positions(plan: QueryPlan) -> tuple[str, ...]:
    """Names of the positions that an annotation is drawn at: of bound points where there are any.

    Raises BadRequest for a table of none, or of more than two.
    """
    for number in range(len(plan.sources)):
        found = _positions(plan, number)
        if len(found) in (1, 2):
            return found
        if found:
            told = f"{plan.sources[number].name} has {len(found)} positions ({', '.join(found)}); a point or a line has"
            raise BadRequest(f"{told} one or two", field="table_name")
    raise BadRequest(f"{plan.sources[0].name} has no position to draw an annotation at", field="table_name")


def _positions(plan: QueryPlan, number: int) -> tuple[str, ...]:
    source = plan.sources[number]
    bound = {point.position for point in source.schema.points}
    there = {o.name[:-2]: o.column for o in plan.outputs if o.source == number and o.axis}
    return tuple(name for name, column in there.items() if not bound or column.name in bound)


def has_position(columns: Sequence[Column]) -> bool:
    """Whether a table can be drawn on its own."""
    return any(column.type is SqlType.POINTZ for column in columns)


def _is_root(plan: QueryPlan, output: Output) -> bool:
    return output.column.role is Role.ROOT


def _property(output: Output, texts: Mapping[str, Sequence[str]]) -> Property | None:
    kind = _KINDS.get(output.kind)
    if kind is None or output.axis or output.column.role is not Role.VALUE:
        return None
    if output.kind is OutputKind.BOOLEAN:
        return Property(output.name, kind, TRUTH)
    if output.kind is OutputKind.TEXT:
        labels = texts.get(output.name, ())
        # The value 0 is that of a row without a text.
        return Property(output.name, kind, ("", *labels)) if labels else None
    return Property(output.name, kind)


def grids(extent: Extent, resolution: Resolution, target: int) -> list[Triple]:
    """Cells along each axis, level by level: the longest sides of a cell are halved until there are enough cells."""
    grid = (1, 1, 1)
    found = [grid]
    while len(found) < MOST_LEVELS and np.prod(grid) * target < _CELLS_PER_LIMIT * extent.rows:
        voxels = [span / cells for span, cells in zip(extent.span, grid, strict=True)]
        sides = [size * unit if size > 1 else 0.0 for size, unit in zip(voxels, resolution, strict=True)]
        if not any(sides):
            break
        x, y, z = (cells * 2 if side > max(sides) / 2**0.5 else cells for cells, side in zip(grid, sides, strict=True))
        grid = (x, y, z)
        found.append(grid)
    return found


def levels(extent: Extent, shapes: Sequence[Triple], cells: Counts, counts: Counts, target: int) -> list[Level]:
    """The levels, coarse to fine, so that a cell holds about `target` annotations at most and each is in one level.

    `cells`, shape (n, 3), and `counts`, shape (n,), tell how many annotations each cell of the finest grid has.
    The last level takes all that are left, however many.
    """
    found: list[Level] = []
    first, finest = 0, np.array(shapes[-1])
    for number, grid in enumerate(shapes):
        left = most_in_a_cell(cells // (finest // np.array(grid)), counts) * (1 - first / HASHES)
        share = 1.0 if left <= target or number == len(shapes) - 1 else target / left
        last = HASHES if share >= 1 else first + int(share * (HASHES - first))
        x, y, z = (span / cells_along for span, cells_along in zip(extent.span, grid, strict=True))
        found.append(Level(f"spatial{number}", grid, (x, y, z), first, last))
        first = last
        if first == HASHES:
            break
    return found


def most_in_a_cell(cells: Counts, counts: Counts) -> int:
    """The largest sum of counts of equal cells."""
    if not len(cells):
        return 0
    _, place = np.unique(cells, axis=0, return_inverse=True)
    return int(np.bincount(place.ravel(), weights=counts).max())


def touches(
    starts: npt.NDArray[np.float64],
    ends: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Which segments, from `starts` to `ends` of shape (n, 3), have a point in the closed box from low to high."""
    enter, leave = np.zeros(len(starts)), np.ones(len(starts))
    outside = np.zeros(len(starts), bool)
    for axis in range(3):
        start, step = starts[:, axis], ends[:, axis] - starts[:, axis]
        still = step == 0
        outside |= still & ((start < low[axis]) | (start > high[axis]))
        pace = np.where(still, 1.0, step)
        near, far = (low[axis] - start) / pace, (high[axis] - start) / pace
        enter = np.where(still, enter, np.maximum(enter, np.minimum(near, far)))
        leave = np.where(still, leave, np.minimum(leave, np.maximum(near, far)))
    return ~outside & (enter <= leave)
