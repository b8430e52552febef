"""The watershed of a world: the supervoxel id at every voxel."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorstore

from localcave.errors import BadRequest
from localcave.ids import Ids

CACHE_BYTES = 64 << 20
Voxels = npt.NDArray[np.int64]


class Volume:
    """A precomputed volume below a world folder, opened when first asked for."""

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        self.folder = folder
        self.shape = shape
        self._lock = threading.Lock()
        self._opened: Any = None

    def box(self, low: Voxels, high: Voxels) -> tuple[Ids, Voxels]:
        """Return the ids in a box of voxels, clipped to the volume, and where the result starts."""
        start = np.clip(low, 0, self.shape)
        end = np.maximum(np.clip(high, 0, self.shape), start)
        (x, y, z), (to_x, to_y, to_z) = start.tolist(), end.tolist()
        found: Ids = self._open()[x:to_x, y:to_y, z:to_z, 0].read().result()
        return found, start

    def at(self, points: Voxels) -> Ids:
        """Return the id at each of some voxels, (n, 3); 0 outside of the volume."""
        found = np.zeros(len(points), np.uint64)
        inside = ((points >= 0) & (points < np.array(self.shape))).all(axis=1)
        if inside.any():
            x, y, z = points[inside].T
            found[inside] = self._open().vindex[x, y, z, 0].read().result()
        return found

    def _open(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = self._opening()
            return self._opened

    def _opening(self) -> Any:
        if not (self.folder / "info").is_file():
            raise BadRequest(f"there is no segmentation volume at {self.folder}: name supervoxels, not points")
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{self.folder}/"},
            "context": {"cache_pool": {"total_bytes_limit": CACHE_BYTES}},
        }
        return tensorstore.open(spec, open=True, read=True).result()
