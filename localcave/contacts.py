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
    behind: dict[tuple[int, ...], Ids] = {}  # the last plane along an axis of chunks whose next one is yet to come
    for corner in itertools.product(*(range(0, size, chunk) for size in volume.shape)):
        block, _ = volume.box(np.array(corner), np.array(corner) + chunk)
        faces = [_faces(*(np.take(block, range(s, s + n - 1), a) for s in (0, 1))) for a, n in enumerate(block.shape)]
        for axis in range(3):
            before = behind.pop((axis, *(low - chunk * (along == axis) for along, low in enumerate(corner))), None)
            if before is not None:
                faces.append(_faces(before, np.take(block, [0], axis)))
            behind[axis, *corner] = np.take(block, [-1], axis)
        found.append(_foreign(index.rows(np.concatenate(faces).ravel()).reshape(-1, 2), objects))
    return counted(np.concatenate(found))


def _foreign(pairs: Rows, objects: Ids) -> npt.NDArray[np.int64]:
    """Return the pairs of different objects, the smaller row first, each once and with its count."""
    pairs = pairs[(pairs >= 0).all(axis=1)]
    pairs = pairs[objects[pairs[:, 0]] != objects[pairs[:, 1]]]
    low, high = np.minimum(*pairs.T), np.maximum(*pairs.T)
    keys, counts = np.unique(low * len(objects) + high, return_counts=True)
    return np.column_stack([keys // len(objects), keys % len(objects), counts])


def counted(pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return each pair (a, b, count) once, sorted, with its counts summed."""
    if not len(pairs):
        return pairs
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs = pairs[order]
    fresh = np.append(True, (np.diff(pairs[:, :2], axis=0) != 0).any(axis=1))
    starts = np.flatnonzero(fresh)
    return np.column_stack([pairs[starts, :2], np.add.reduceat(pairs[:, 2], starts)])


def _faces(low: Ids, high: Ids) -> Ids:
    """Return the (n, 2) ids on both sides of the faces between two arrays that lie against each other."""
    apart = (low != high) & (low > 0) & (high > 0)
    return np.stack([low[apart], high[apart]], axis=1)
