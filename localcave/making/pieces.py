"""From objects in a grid to supervoxels: what hangs together within one chunk, and which pieces touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.building import components
from localcave.ids import IdLayout, Ids

Voxels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """Supervoxels of a grid.

    Attributes
    ----------
    rows : (g, g, g) int32, the row of each voxel's supervoxel, -1 for background
    ids : (n,) uint64, sorted
    objects : (n,) int64
    faces : (f, 2) int64, flat indices of neighboring grid voxels of different supervoxels, background left
    out
    """

    rows: npt.NDArray[np.int32]
    ids: Ids
    objects: npt.NDArray[np.int64]
    faces: Voxels

    def edges(self) -> Ids:
        """Return (m, 3): touching supervoxels of one object, the smaller first, and how many voxel faces they
        share.
        """
        first, second = self.sides()
        same = self.objects[first] == self.objects[second]
        pairs = np.sort(np.stack([first[same], second[same]], axis=1), axis=1)
        found, counts = np.unique(pairs, axis=0, return_counts=True)
        # A face of the grid is 2 x 2 faces of the volume.
        return np.column_stack([self.ids[found[:, 0]], self.ids[found[:, 1]], counts.astype(np.uint64) * np.uint64(4)])

    def contacts(self) -> Voxels:
        """Return the faces between two objects."""
        first, second = self.sides()
        return self.faces[self.objects[first] != self.objects[second]]

    def sides(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return the rows of the supervoxels on the two sides of each face."""
        flat = self.rows.ravel()
        return flat[self.faces[:, 0]], flat[self.faces[:, 1]]


def cut(labels: npt.NDArray[np.int32], objects: npt.NDArray[np.int64], chunk: int, layout: IdLayout) -> Pieces:
    """Cut labeled voxels into supervoxels along chunks of so many grid voxels."""
    value = labels.ravel()
    solid = np.flatnonzero(value)
    chunks = _chunks(labels.shape[0], chunk)
    faces = np.concatenate([_faces(labels, axis) for axis in range(3)])
    first, second = faces.T
    inside = (value[first] == value[second]) & (chunks[first] == chunks[second])
    piece = components(len(solid), *(np.searchsorted(solid, side[inside]) for side in (first, second)))
    return _number(labels, objects, layout, chunk, solid, piece, faces)


def _number(
    labels: npt.NDArray[np.int32],
    objects: npt.NDArray[np.int64],
    layout: IdLayout,
    chunk: int,
    solid: Voxels,
    piece: Voxels,
    faces: Voxels,
) -> Pieces:
    _, samples = np.unique(piece, return_index=True)
    where = np.stack(np.unravel_index(solid[samples], labels.shape), axis=1) // chunk
    ids = _ids(layout, where)
    order = np.argsort(ids)
    row = np.empty(len(ids), np.int32)
    row[order] = np.arange(len(ids))
    rows = np.full(labels.size, -1, np.int32)
    rows[solid] = row[piece]
    faces = faces[rows[faces[:, 0]] != rows[faces[:, 1]]]
    owner = objects[labels.ravel()[solid[samples]]]
    return Pieces(rows.reshape(labels.shape), ids[order], owner[order], faces)


def _ids(layout: IdLayout, chunks: Voxels) -> Ids:
    """Return supervoxel ids: segments count from 1 within each chunk, in order."""
    bits, segment = layout.spatial_bits(1), layout.segment_bits(1)
    x, y, z = chunks.T
    prefix = ((((1 << bits | x) << bits) | y) << bits) | z
    order = np.argsort(prefix, kind="stable")
    _, starts, counts = np.unique(prefix[order], return_index=True, return_counts=True)
    segments = np.empty(len(prefix), np.int64)
    segments[order] = np.arange(len(prefix)) - np.repeat(starts, counts) + 1
    return ((prefix << segment) | segments).astype(np.uint64)


def _faces(labels: npt.NDArray[np.int32], axis: int) -> Voxels:
    """Return flat indices of neighbors along an axis, neither of them background."""
    grid = labels.shape[0]
    solid = labels > 0
    both = np.take(solid, range(grid - 1), axis) & np.take(solid, range(1, grid), axis)
    low = np.ravel_multi_index(np.nonzero(both), labels.shape)
    return np.stack([low, low + grid ** (2 - axis)], axis=1)


def _chunks(grid: int, chunk: int) -> npt.NDArray[np.int32]:
    along = np.arange(grid) // chunk
    count = along[-1] + 1
    chunks = (along[:, None, None] * count + along[None, :, None]) * count + along[None, None, :]
    return chunks.astype(np.int32).ravel()
