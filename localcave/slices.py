"""Slices of a volume for the page: which supervoxel and which object lies at every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.errors import BadRequest
from localcave.ids import Ids
from localcave.loaded import Loaded
from localcave.queries import RootQuestion


@dataclass(frozen=True)
class Slice:
    """A plane of voxels.

    Attributes
    ----------
    supervoxels, roots : (n,) uint64, each supervoxel in the plane and its object; 0 for background
    pixels : (height, width) uint32, places in `supervoxels`
    """

    supervoxels: Ids
    roots: Ids
    pixels: npt.NDArray[np.uint32]

    def packed(self) -> bytes:
        """Return width, height, n and 0 as 32 bits, then supervoxels, roots and pixels, all little-endian."""
        height, width = self.pixels.shape
        head = np.array([width, height, len(self.roots), 0], "<u4")
        return b"".join(
            (
                head.tobytes(),
                self.supervoxels.astype("<u8").tobytes(),
                self.roots.astype("<u8").tobytes(),
                self.pixels.astype("<u4").tobytes(),
            )
        )


def take(loaded: Loaded, axis: int, place: int, at_ms: int) -> Slice:
    """Return the plane across an axis (0, 1, 2 for x, y, z) at a voxel, with objects as of a moment.

    Of the other two axes the one that comes first runs to the right.
    """
    if not 0 <= axis < 3 or not 0 <= place < loaded.volume.shape[axis]:
        raise BadRequest(f"axis must be 0 to 2, and the voxel lie within the volume's shape {loaded.volume.shape}")
    low, high = np.zeros(3, np.int64), np.array(loaded.volume.shape)
    low[axis], high[axis] = place, place + 1
    block, _ = loaded.volume.box(low, high)
    supervoxels, inverse = np.unique(block.take(0, axis).T, return_inverse=True)
    shape = block.take(0, axis).T.shape
    roots = loaded.queries.roots(supervoxels, RootQuestion(at_ms, fail_to_zero=True))
    return Slice(supervoxels, roots, inverse.reshape(shape).astype(np.uint32))
