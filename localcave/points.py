"""Points that a person marks: an id and a place, and the supervoxel that is meant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from localcave.errors import BadRequest
from localcave.graph import Graph
from localcave.ids import ChunkBox
from localcave.journal import Voxel
from localcave.volume import Volume

SEARCH_RADII = (4, 8, 14, 28)  # in mean voxel sizes
BOX_MARGIN = (240, 240, 24)  # voxels around marked points that a merge or split looks at


@dataclass(frozen=True)
class Mark:
    """A node's id, of any layer, and a place in nanometers."""

    id: int
    place: tuple[float, float, float]


@dataclass(frozen=True)
class Spot:
    """A supervoxel's row and id, and the voxel marked."""

    row: int
    id: int
    voxel: Voxel


class Finder:
    """Finds what is meant by marks."""

    def __init__(self, graph: Graph, volume: Volume, resolution: Sequence[float], chunk: int) -> None:
        self._graph, self._volume, self._chunk = graph, volume, chunk
        self._resolution = np.array(resolution, np.float64)

    def spot(self, mark: Mark) -> Spot:
        """Return the supervoxel a mark names, or of the node it names the nearest one to its place."""
        voxel = self.voxel(mark)
        view = self._graph.view()
        row = self._graph.row(mark.id, view)
        if row < 0:
            raise BadRequest(f"{mark.id} is no node of this graph")
        if mark.id >> 56 > 1:
            row = self._nearest(mark, voxel)
        return Spot(row, int(view.ids[row]), voxel)

    def voxel(self, mark: Mark) -> Voxel:
        """Return the voxel at a mark's place."""
        x, y, z = (math.floor(along) for along in np.array(mark.place) / self._resolution)
        return x, y, z

    def box(self, spots: Sequence[Spot]) -> ChunkBox:
        """Return the chunks around marked voxels and the chunks of their supervoxels."""
        voxels = np.array([spot.voxel for spot in spots])
        ids = np.array([spot.id for spot in spots], np.uint64)
        chunks = self._graph.layout.coordinates(ids, 1)
        low = np.minimum((voxels.min(axis=0) - BOX_MARGIN) // self._chunk, chunks.min(axis=0))
        high = np.maximum((voxels.max(axis=0) + BOX_MARGIN) // self._chunk, chunks.max(axis=0))
        return ChunkBox(tuple(np.maximum(low, 0).tolist()), tuple(high.tolist()))

    def _nearest(self, mark: Mark, voxel: Voxel) -> int:
        place = np.array(mark.place)
        for radius in SEARCH_RADII:
            reach = radius * self._resolution.mean()
            span = np.ceil(reach / self._resolution).astype(np.int64)
            found, start = self._volume.box(np.array(voxel) - span, np.array(voxel) + span + 1)
            where, rows = self._parts_of(mark.id, found)
            if len(where):
                apart = (where + start + 0.5) * self._resolution - place
                distance = (apart**2).sum(axis=1)
                if distance.min() <= reach**2 or (where + start == voxel).all(axis=1).any():
                    return int(rows[distance.argmin()])
        raise BadRequest(f"node {mark.id} has no supervoxel near {mark.place} nm")

    def _parts_of(self, node: int, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the places in a block, (n, 3), whose supervoxels stand under a node, and these rows."""
        view = self._graph.view()
        here, inverse = np.unique(found, return_inverse=True)
        rows = self._graph.rows(here, view)
        top = self._graph.row(node, view)
        # At the time it was made, so that a root that was edited since still finds its parts.
        ours = view.climb(rows, int(view.created_ms[top]), node >> 56) == top
        where = np.flatnonzero(ours[inverse.ravel()])
        return np.stack(np.unravel_index(where, found.shape), axis=1), rows[inverse.ravel()[where]]
