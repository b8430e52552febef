"""Which supervoxels of different objects touch: the edges that a merge may switch on.

A world may bring them as `graph/contacts.npy`, (m, 3): two ids and their contact area in voxel faces. Otherwise
they are found in the volume when they are first needed, and kept in the graph's folder.
"""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from localcave.edgetable import NO_AREAS, NO_EDGES, Edges
from localcave.forest import places_in
from localcave.ids import Ids, Rows
from localcave.supervoxels import SupervoxelIndex
from localcave.volume import Volume

KEPT = "contacts.npy"


class Contacts:
    """The contacts of one graph."""

    def __init__(self, kept: Path, given: Path, volume: Volume, objects: Path, supervoxels: Path, chunk: int) -> None:
        self._kept, self._given, self._volume, self._chunk = kept, given, volume, chunk
        self._objects, self._supervoxels = objects, supervoxels
        self._lock = threading.Lock()
        self._table: npt.NDArray[np.int32] | None = None

    def between(self, first: Rows, second: Rows) -> tuple[Edges, npt.NDArray[np.int32]]:
        """Return the touching pairs between two sorted sets of supervoxel rows, the smaller row first, and their
        areas.
        """
        table = self._opened()
        few, many = (first, second) if len(first) <= len(second) else (second, first)
        few = few.astype(np.int32)  # of the table's type, or the search would convert the whole table
        low = np.searchsorted(table[0], few, side="left")
        high = np.searchsorted(table[0], few, side="right")
        places = np.concatenate([np.empty(0, np.int64), *map(np.arange, low.tolist(), high.tolist())])
        if not len(places):
            return NO_EDGES, NO_AREAS
        found = np.asarray(table[:, places]).T
        found = found[places_in(many, found[:, 1]) >= 0]
        return np.sort(found[:, :2], axis=1), found[:, 2]

    def _opened(self) -> npt.NDArray[np.int32]:
        with self._lock:
            if self._table is None:
                if not self._kept.exists():
                    self._keep(self._found())
                self._table = np.load(self._kept, mmap_mode="r")
            return self._table

    def _found(self) -> npt.NDArray[np.int64]:
        ids, objects = np.load(self._supervoxels), np.load(self._objects)
        if not self._given.exists():
            return survey(self._volume, ids, objects, self._chunk)
        given = np.load(self._given)
        index = SupervoxelIndex.searching(ids)
        rows = index.rows(given[:, :2].astype(np.uint64).ravel()).reshape(-1, 2)
        known = (rows >= 0).all(axis=1)
        return np.column_stack([rows[known], given[known, 2].astype(np.int64)])

    def _keep(self, pairs: npt.NDArray[np.int64]) -> None:
        both = np.concatenate([pairs, pairs[:, [1, 0, 2]]]).astype(np.int32)
        fresh = self._kept.with_name(f".{KEPT}.new.npy")
        np.save(fresh, np.ascontiguousarray(both[np.lexsort((both[:, 1], both[:, 0]))].T))
        fresh.replace(self._kept)


def survey(volume: Volume, ids: Ids, objects: Ids, chunk: int) -> npt.NDArray[np.int64]:
    """Return (m, 3): rows of touching supervoxels of different objects, and how many voxel faces they share."""
    index = SupervoxelIndex.searching(ids)
    found = [np.empty((0, 3), np.int64)]
    for corner in itertools.product(*(range(0, size, chunk) for size in volume.shape)):
        low = np.array(corner)
        block, _ = volume.box(low, low + chunk + 1)
        pairs = index.rows(np.concatenate([_faces(block, axis, chunk) for axis in range(3)]).ravel()).reshape(-1, 2)
        pairs = pairs[(pairs >= 0).all(axis=1)]
        pairs = pairs[objects[pairs[:, 0]] != objects[pairs[:, 1]]]
        found.append(counted(np.column_stack([np.sort(pairs, axis=1), np.ones(len(pairs), np.int64)])))
    return counted(np.concatenate(found))


def counted(pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return each pair (a, b, count) once, sorted, with its counts summed."""
    if not len(pairs):
        return pairs
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs = pairs[order]
    fresh = np.append(True, (np.diff(pairs[:, :2], axis=0) != 0).any(axis=1))
    starts = np.flatnonzero(fresh)
    return np.column_stack([pairs[starts, :2], np.add.reduceat(pairs[:, 2], starts)])


def _faces(block: Ids, axis: int, chunk: int) -> Ids:
    """Return the (n, 2) ids on both sides of the faces along an axis whose lower side lies in the chunk."""
    inner = block[tuple(slice(None) if along == axis else slice(chunk) for along in range(3))]
    length = inner.shape[axis]
    low, high = np.take(inner, range(length - 1), axis), np.take(inner, range(1, length), axis)
    apart = (low != high) & (low > 0) & (high > 0)
    return np.stack([low[apart], high[apart]], axis=1)
