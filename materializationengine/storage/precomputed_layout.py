"""The layout of a table for Neuroglancer: labels, extent and levels, found with a few passes over its rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from ..domain.precomputed import MOST_LABELS, Collection, Extent, Level, collection, grids, levels
from ..domain.query_plan import OutputKind, QueryPlan
from . import precomputed
from .read_pool import Reading


@dataclass(frozen=True, slots=True)
class Layout:
    """A table as annotations, where they are, and the levels of its spatial index, coarse to fine."""

    collection: Collection
    extent: Extent
    levels: tuple[Level, ...]


def lay_out(reading: Reading, plan: QueryPlan, moment: datetime, target: int) -> Layout:
    """`plan` selects every column; a cell of the index is to hold about `target` annotations. Raises BadRequest."""
    found = collection(plan, _texts(reading, plan, moment))
    extent = _extent(reading, found, moment)
    if not extent.rows:
        return Layout(found, extent, (Level("spatial0", (1, 1, 1), (1.0, 1.0, 1.0), 0, 1 << 32),))
    shapes = grids(extent, found.resolution, target)
    counted = reading.table(precomputed.counts(found, moment, extent, shapes[-1]))
    cells = np.stack([counted[axis].to_numpy() for axis in "xyz"], axis=1).astype(np.int64)
    made = levels(extent, shapes, cells, counted["n"].to_numpy(), target)
    most = reading.table(precomputed.limits(found, moment, extent, made)).to_pydict()
    limits = dict(zip(most["level"], most["n"], strict=True))
    return Layout(found, extent, tuple(replace(each, limit=limits.get(n, 0)) for n, each in enumerate(made)))


def _texts(reading: Reading, plan: QueryPlan, moment: datetime) -> dict[str, list[str]]:
    """The labels of columns of texts, but of those that hold too many."""
    found = {}
    for output in plan.outputs:
        if output.kind is OutputKind.TEXT:
            values = reading.table(precomputed.texts(plan, moment, output, MOST_LABELS + 1))["value"].to_pylist()
            if len(values) <= MOST_LABELS:
                found[output.name] = sorted(values)
    return found


def _extent(reading: Reading, found: Collection, moment: datetime) -> Extent:
    (row,) = reading.table(precomputed.extent(found, moment)).to_pylist()
    if not row["rows"]:
        return Extent(0, (0, 0, 0), (1, 1, 1), (0, 0, 0))
    return Extent(
        row["rows"],
        (row["low_x"], row["low_y"], row["low_z"]),
        (row["high_x"] + 1, row["high_y"] + 1, row["high_z"] + 1),
        (row["reach_x"], row["reach_y"], row["reach_z"]),
    )
