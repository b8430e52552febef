"""A field of view cut into square tiles on the plane that touches the sky at the pointing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from lsst.sphgeom import Angle, Circle, ConvexPolygon, Region, UnitVector3d

from .generators import Vectors, frame


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: column and row of the grid, and what it covers."""

    number: int
    name: str
    region: Region


@dataclass(frozen=True)
class FieldOfView:
    """The circle that a visit sees, whole or in `divide` x `divide` tiles.

    Each direction belongs to exactly one tile, so that tiles may be worked on apart and nothing is done twice.
    """

    pointing: tuple[float, float, float]
    open_angle: float
    divide: int = 1

    @property
    def circle(self) -> Circle:
        """The whole field of view."""
        return Circle(UnitVector3d(*self.pointing), Angle(self.open_angle / 2))

    def holds(self, xyz: Vectors) -> npt.NDArray[np.bool_]:
        """Which directions, shape (n, 3), lie in the circle."""
        seen: npt.NDArray[np.bool_] = xyz @ np.array(self.pointing) >= math.cos(self.open_angle / 2)
        return seen

    def numbers(self, xyz: Vectors) -> npt.NDArray[np.int64]:
        """Number of the tile of each direction, row by row; directions outside the grid count to its border."""
        u, v, w = frame(self.pointing) @ xyz.T
        column, row = (
            np.clip(np.floor((axis / w / self._half + 1) / 2 * self.divide), 0, self.divide - 1) for axis in (u, v)
        )
        found: npt.NDArray[np.int64] = (row * self.divide + column).astype(np.int64)
        return found

    def tiles(self) -> list[Tile]:
        """The tiles that meet the circle; a tile's region holds all of it."""
        if self.divide <= 1:
            return [Tile(0, "", self.circle)]
        cells = (
            (column, row, self._square(column, row)) for row in range(self.divide) for column in range(self.divide)
        )
        return [Tile(r * self.divide + c, f"{c}x{r}", at) for c, r, at in cells if not at.isDisjointFrom(self.circle)]

    @property
    def _half(self) -> float:
        return math.tan(self.open_angle / 2)

    def _square(self, column: int, row: int) -> ConvexPolygon:
        # A hair wider than the tile, because rounding may put a direction on the border to either side.
        margin = 1e-9
        low_u, high_u, low_v, high_v = (
            ((place + shift) * 2 / self.divide - 1) * self._half + sign * margin
            for place in (column, row)
            for shift, sign in ((0, -1), (1, 1))
        )
        axes = frame(self.pointing)
        corners = [(low_u, low_v), (high_u, low_v), (high_u, high_v), (low_u, high_v)]
        vectors = (np.array([u, v, 1.0]) @ axes for u, v in corners)
        return ConvexPolygon([UnitVector3d(*map(float, vector)) for vector in vectors])
