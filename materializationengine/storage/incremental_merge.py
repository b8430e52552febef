"""A sorted table with some rows taken out, some roots replaced and some rows put in at their sorted place.

Works on a stream of Arrow batches: memory holds one batch and the change, and nothing but the change is sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..domain.ports import Ids
from ..domain.schemas import Column, SqlType
from .tables import Shape

_ARROW = {
    SqlType.BIGINT: pa.int64(),
    SqlType.INTEGER: pa.int32(),
    SqlType.DOUBLE: pa.float64(),
    SqlType.TEXT: pa.string(),
    SqlType.BOOLEAN: pa.bool_(),
    SqlType.POINTZ: pa.binary(),
    SqlType.TIMESTAMP: pa.timestamp("us"),
}

Keys = npt.NDArray[np.bytes_]
"""Sort keys as 16 bytes each, which compare as (supervoxel, id) does."""


@dataclass(frozen=True, slots=True)
class RootMap:
    """Roots of supervoxels at one moment; both arrays sorted by supervoxel. One that is not in it has no root."""

    supervoxels: Ids
    roots: Ids

    def column(self, supervoxels: Ids) -> pa.Array:
        """The roots of some supervoxels, NULL where there is none."""
        places, there = _places(self.supervoxels, supervoxels)
        roots = self.roots[places] if len(self.roots) else np.zeros(len(supervoxels), np.int64)
        return pa.array(roots, pa.int64(), mask=~there)


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the base: ids to leave out, whole rows to put in, roots that expired and what replaces them.

    `gone` and `expired` are sorted. `fresh` is sorted as the table is; its ids are in `gone` where the base has them.
    """

    gone: Ids
    fresh: pa.Table
    expired: Ids
    roots: RootMap


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow form of a table; a position is EWKB bytes."""
    return pa.schema([(column.name, _ARROW[column.type]) for column in columns])


def conform(rows: pa.Table | pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Rows under the schema's names and types; the driver adds metadata of its own."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    return table.rename_columns(schema.names).cast(schema)


class Merge:
    """One pass over the base. Afterwards `sorted` says whether it was in order, and the counts what was changed."""

    def __init__(self, shape: Shape, changes: Changes) -> None:
        self._shape, self._changes = shape, changes
        self.schema = arrow_schema(shape.columns)
        self._fresh = conform(changes.fresh, self.schema)
        self._fresh_keys = _keys(shape, self._fresh)
        self._next = 0
        self._last: Keys = np.zeros(0, "S16")
        self.sorted = True
        self.dropped = self.patched = 0
        self._written: list[Ids] = [self._roots_in(self._fresh)]

    @property
    def inserted(self) -> int:
        """Rows put in."""
        return self._fresh.num_rows

    @property
    def written_roots(self) -> Ids:
        """Distinct roots that were put in, in whole rows or in place of another."""
        return np.unique(np.concatenate(self._written))

    def batches(self, base: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The merged stream."""
        for batch in base:
            yield from self._merged(self._patched(self._kept(conform(batch, self.schema)))).to_batches()
        yield from self._fresh.slice(self._next).to_batches()

    def _kept(self, rows: pa.Table) -> pa.Table:
        _, gone = _places(self._changes.gone, _numbers(rows, "id"))
        self.dropped += int(gone.sum())
        return rows.filter(pa.array(~gone)) if gone.any() else rows

    def _patched(self, rows: pa.Table) -> pa.Table:
        touched = np.zeros(rows.num_rows, dtype=bool)
        for point in self._shape.points:
            _, expired = _places(self._changes.expired, _numbers(rows, point.root))
            if expired.any():
                rows = self._replace(rows, point.root, _numbers(rows, point.supervoxel), expired)
                touched |= expired
        self.patched += int(touched.sum())
        return rows

    def _replace(self, rows: pa.Table, root: str, supervoxels: Ids, expired: npt.NDArray[np.bool_]) -> pa.Table:
        found = self._changes.roots.column(supervoxels[expired])
        self._written.append(found.drop_null().to_numpy())
        values = _numbers(rows, root).copy()
        values[expired] = found.fill_null(0).to_numpy(zero_copy_only=False)
        missing = np.zeros(len(values), dtype=bool)
        missing[expired] = found.is_null().to_numpy(zero_copy_only=False)
        return rows.set_column(rows.schema.get_field_index(root), root, pa.array(values, pa.int64(), mask=missing))

    def _merged(self, rows: pa.Table) -> pa.Table:
        if rows.num_rows == 0:
            return rows
        keys = _keys(self._shape, rows)
        self._check_order(keys)
        stop = int(np.searchsorted(self._fresh_keys, keys[-1]))
        if stop <= self._next:
            return rows
        places = np.searchsorted(keys, self._fresh_keys[self._next : stop])
        inserted = np.arange(rows.num_rows, rows.num_rows + stop - self._next)
        order = np.insert(np.arange(rows.num_rows), places, inserted)
        both = pa.concat_tables([rows, self._fresh.slice(self._next, stop - self._next)])
        self._next = stop
        return both.combine_chunks().take(pa.array(order))

    def _check_order(self, keys: Keys) -> None:
        whole = np.concatenate([self._last, keys])
        self.sorted &= bool((whole[1:] > whole[:-1]).all())
        self._last = keys[-1:]

    def _roots_in(self, rows: pa.Table) -> Ids:
        parts = [rows[point.root].drop_null().to_numpy() for point in self._shape.points]
        return np.concatenate([np.zeros(0, np.int64), *parts])


def _numbers(rows: pa.Table, column: str) -> Ids:
    """A bigint column; NULL, which no kept row has in a column that is looked at, as -1."""
    values: Ids = rows[column].fill_null(-1).to_numpy()
    return values


def _places(known: Ids, asked: Ids) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Where each asked id stands in a sorted array, and whether it does."""
    if not len(known):
        return np.zeros(len(asked), np.intp), np.zeros(len(asked), dtype=bool)
    places = np.searchsorted(known, asked).clip(max=len(known) - 1)
    return places, known[places] == asked


def _keys(shape: Shape, rows: pa.Table) -> Keys:
    """Big-endian bytes of the first supervoxel, NULL last, and the id, both without their sign's bit order."""
    pairs = np.zeros((rows.num_rows, 2), dtype=">u8")
    if shape.points:
        last = np.iinfo(np.int64).max
        pairs[:, 0] = _unsigned(rows[shape.points[0].supervoxel].fill_null(last).to_numpy())
    pairs[:, 1] = _unsigned(rows["id"].to_numpy())
    return pairs.view("S16").reshape(-1)


def _unsigned(values: Ids) -> npt.NDArray[np.uint64]:
    return values.view(np.uint64) ^ np.uint64(1 << 63)
