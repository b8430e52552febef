"""What a person sees of a world: where supervoxels lie and touch, read from its files and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorstore


@dataclass(frozen=True)
class Point:
    """A voxel and the supervoxel there."""

    id: int
    voxel: tuple[int, int, int]

    def nm(self, resolution: tuple[int, ...] = (16, 16, 40)) -> list[float]:
        """Return [id, x, y, z] in nanometers, as requests carry points."""
        return [self.id, *((along + 0.5) * size for along, size in zip(self.voxel, resolution, strict=True))]


class Scene:
    """A world's volume in memory."""

    def __init__(self, world: Path) -> None:
        spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{world}/segmentation/"}}
        self.volume = tensorstore.open(spec).result()[..., 0].read().result()

    def point(self, supervoxel: int) -> Point:
        """Return a voxel of a supervoxel."""
        x, y, z = np.argwhere(self.volume == supervoxel)[0].tolist()
        return Point(supervoxel, (x, y, z))

    @cached_property
    def contacts(self) -> list[tuple[Point, Point]]:
        """One face for each pair of touching supervoxels."""
        found: dict[tuple[int, int], tuple[Point, Point]] = {}
        for axis in range(3):
            step = np.eye(3, dtype=np.int64)[axis]
            length = self.volume.shape[axis] - 1
            low, high = (np.take(self.volume, range(start, start + length), axis) for start in (0, 1))
            where = np.argwhere((low != high) & (low > 0) & (high > 0))
            pairs = np.stack([low[tuple(where.T)], high[tuple(where.T)]], axis=1)
            _, first = np.unique(pairs, axis=0, return_index=True)
            for place, (a, b) in zip(where[first], pairs[first].tolist(), strict=True):
                found.setdefault((a, b), (Point(a, tuple(place.tolist())), Point(b, tuple((place + step).tolist()))))
        return list(found.values())
