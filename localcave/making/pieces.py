"""From objects in a grid to supervoxels: what hangs together within one chunk, and which pieces touch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.building import components
from localcave.ids import IdLayout, Ids, Rows

SLAB = 16  # planes looked at in one go

Labels = npt.NDArray[np.integer]
Voxels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Faces:
    """Faces between neighboring voxels: the flat index of the lower voxel of each, and the axis across it."""

    low: npt.NDArray[np.integer]
    axis: npt.NDArray[np.int8]

    def ends(self, chosen: npt.NDArray[np.integer], shape: tuple[int, ...]) -> Voxels:
        """Return the flat indices of the voxels on both sides of some faces, (k, 2)."""
        steps = np.array([shape[1] * shape[2], shape[2], 1])
        low = self.low[chosen].astype(np.int64)
        return np.stack([low, low + steps[self.axis[chosen]]], axis=1)


@dataclass(frozen=True)
class Pieces:
    """Supervoxels of a grid.

    Attributes
    ----------
    rows : (x, y, z) int32, the row of each voxel's supervoxel, -1 for background
    ids : (n,) uint64, sorted
    objects : (n,) int64
    faces : faces between different supervoxels, background left out
    """

    rows: npt.NDArray[np.int32]
    ids: Ids
    objects: npt.NDArray[np.int64]
    faces: Faces

    def edges(self, faces_each: int = 1) -> Ids:
        """Return (m, 3): touching supervoxels of one object, the smaller first, and how many voxel faces they
        share, if a face of the grid stands for so many.
        """
        first, second = self._sides()
        return self._counted(self.objects[first] == self.objects[second], faces_each)

    def contacts(self, faces_each: int = 1) -> Ids:
        """Return (m, 3) as `edges` does, of supervoxels of different objects."""
        first, second = self._sides()
        return self._counted(self.objects[first] != self.objects[second], faces_each)

    def touching(self) -> Rows:
        """Return (m, 2), the rows of touching supervoxels of different objects."""
        pairs, _ = self._pairs(np.not_equal(*(self.objects[side] for side in self._sides())))
        return pairs

    def foreign_faces(self) -> npt.NDArray[np.integer]:
        """Return the numbers of the faces between two objects."""
        return np.flatnonzero(np.not_equal(*(self.objects[side] for side in self._sides())))

    def solid(self) -> Iterator[tuple[int, npt.NDArray[np.integer], npt.NDArray[np.int32]]]:
        """Yield slabs: the flat index at which each starts, where in it supervoxels lie, and their rows."""
        planes = self.rows.shape[1] * self.rows.shape[2]
        for low in range(0, self.rows.shape[0], SLAB):
            flat = self.rows[low : low + SLAB].ravel()
            where = np.flatnonzero(flat >= 0)
            yield low * planes, where, flat[where]

    def _sides(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        flat = self.rows.ravel()
        found = [np.empty(len(self.faces.low), np.int32) for _ in range(2)]
        for start in range(0, len(self.faces.low), 1 << 20):
            here = np.arange(start, min(start + (1 << 20), len(self.faces.low)))
            found[0][here], found[1][here] = flat[self.faces.ends(here, self.rows.shape)].T
        return found[0], found[1]

    def _counted(self, chosen: npt.NDArray[np.bool_], faces_each: int) -> Ids:
        pairs, counts = self._pairs(chosen)
        areas = counts.astype(np.uint64) * np.uint64(faces_each)
        return np.column_stack([self.ids[pairs[:, 0]], self.ids[pairs[:, 1]], areas])

    def _pairs(self, chosen: npt.NDArray[np.bool_]) -> tuple[Rows, Rows]:
        first, second = (side[chosen].astype(np.int64) for side in self._sides())
        count = len(self.ids)
        keys, counts = np.unique(np.minimum(first, second) * count + np.maximum(first, second), return_counts=True)
        return np.stack([keys // count, keys % count], axis=1), counts


def cut(
    labels: Labels, objects: npt.NDArray[np.int64], chunk: int, layout: IdLayout, block: int | None = None
) -> Pieces:
    """Cut labeled voxels into supervoxels along chunks of so many grid voxels, and within along blocks.

    Voxels of label 0 are background; voxels of one label that share a face hang together. `objects` names the
    object of each label, by its number.
    """
    rows = np.full(labels.shape, -1, np.int32)
    ids, owners, count = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], 0
    # In this order ids ascend.
    for corner in itertools.product(*(range(0, size, chunk) for size in labels.shape)):
        here = tuple(slice(low, low + chunk) for low in corner)
        piece, found = _pieces_of(labels[here], block)
        rows[here] = np.where(piece >= 0, piece + count, -1)
        ids.append(_numbered(layout, [low // chunk for low in corner], len(found)))
        owners.append(objects[found])
        count += len(found)
    return Pieces(rows, np.concatenate(ids), np.concatenate(owners), _faces(rows))


def _pieces_of(labels: Labels, block: int | None) -> tuple[npt.NDArray[np.int32], Labels]:
    """Return the piece of each voxel of a chunk, numbered by first voxel, -1 for background; and their labels."""
    flat = labels.ravel()
    solid = np.flatnonzero(flat)
    piece = np.full(labels.size, -1, np.int32)
    number = np.arange(labels.size, dtype=np.int32).reshape(labels.shape)
    firsts, seconds = [], []
    for axis in range(3):
        length = labels.shape[axis]
        low, high = (np.take(labels, range(start, start + length - 1), axis) for start in (0, 1))
        same = (low == high) & (low > 0)
        if block is not None:
            same[(slice(None),) * axis + (slice(block - 1, None, block),)] = False
        firsts.append(np.take(number, range(length - 1), axis)[same])
        seconds.append(np.take(number, range(1, length), axis)[same])
    places = np.zeros(labels.size, np.int32)
    places[solid] = np.arange(len(solid))
    piece[solid] = components(len(solid), places[np.concatenate(firsts)], places[np.concatenate(seconds)])
    _, samples = np.unique(piece[solid], return_index=True)
    return piece.reshape(labels.shape), flat[solid[samples]]


def _numbered(layout: IdLayout, chunk: list[int], count: int) -> Ids:
    bits, (x, y, z) = layout.spatial_bits(1), chunk
    prefix = ((((1 << bits | x) << bits) | y) << bits) | z
    return np.uint64(prefix << layout.segment_bits(1)) + np.arange(1, count + 1, dtype=np.uint64)


def _faces(rows: npt.NDArray[np.int32]) -> Faces:
    index = np.int32 if rows.size < 1 << 31 else np.int64
    lows, axes = [np.empty(0, index)], [np.empty(0, np.int8)]
    plane = rows.shape[1] * rows.shape[2]
    for axis in range(3):
        for start in range(0, rows.shape[0], SLAB):
            slab = rows[start : start + SLAB + (axis == 0)]
            length = slab.shape[axis] - 1
            low, high = (np.take(slab, range(shift, shift + length), axis) for shift in (0, 1))
            where = np.nonzero((low != high) & (low >= 0) & (high >= 0))
            flat = np.ravel_multi_index(where, slab.shape) + start * plane
            lows.append(flat.astype(index))
            axes.append(np.full(len(flat), axis, np.int8))
    return Faces(np.concatenate(lows), np.concatenate(axes))
