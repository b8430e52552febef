"""The seeded work that is measured: synapses at a fixed density, and the supervoxels that they lie in.

A real data set grows in extent and not in density, so the volume grows with the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Unsigned = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int32]

RESOLUTION = (4.0, 4.0, 40.0)
"""Nanometers per voxel."""

CELL = (64, 64, 8)
"""Voxels of one supervoxel along x, y and z."""

_MARGIN = 80
"""Voxels that centers keep away from the edge, so that both points lie inside."""

_REACH = np.array([60, 60, 6])
_LAYER = np.uint64(1) << np.uint64(56)


def supervoxels(positions: Positions) -> Unsigned:
    """The supervoxel at each position, voxels of shape (n, 3): the volume is a grid of cells."""
    cell = (np.asarray(positions, dtype=np.int64) // np.asarray(CELL, dtype=np.int64)).astype(np.uint64)
    x, y, z = (cell[:, axis] << np.uint64(shift) for axis, shift in enumerate((38, 20, 4)))
    found: Unsigned = _LAYER | x | y | z | np.uint64(1)
    return found


@dataclass(frozen=True)
class Synapses:
    """N rows: `ids` 1..N, positions in voxels of shape (N, 3), sizes."""

    ids: npt.NDArray[np.int64]
    pre: Positions
    ctr: Positions
    post: Positions
    size: npt.NDArray[np.float32]

    @classmethod
    def make(cls, count: int, seed: int = 1) -> Self:
        """One synapse in a cubic micrometer; both points lie near its center."""
        rng = np.random.default_rng(seed)
        edge = 1000.0 * count ** (1 / 3)
        box = np.maximum(np.ceil(edge / np.asarray(RESOLUTION)), 256).astype(np.int64)
        ctr = np.column_stack([rng.integers(_MARGIN, side - _MARGIN, count) for side in box]).astype(np.int32)
        pre, post = ((ctr + rng.integers(-_REACH, _REACH + 1, (count, 3))).astype(np.int32) for _ in range(2))
        size = rng.lognormal(6.0, 1.0, count).round().astype(np.float32)
        return cls(np.arange(1, count + 1, dtype=np.int64), pre, ctr, post, size)

    def __len__(self) -> int:
        return len(self.ids)
