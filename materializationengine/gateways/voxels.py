"""From positions in a table's units to voxels of a volume."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ..domain.datastack import Resolution
from ..domain.errors import BadCoordinates
from ..domain.ports import Ids

_LIMIT = 2.0**31


def to_voxels(points: npt.ArrayLike, units: Resolution, voxel: Resolution) -> Ids:
    """The voxel that holds each point: floor(point * units / voxel), int64 of shape (n, 3).

    Parameters: `points`, shape (n, 3), in `units` nanometers; `voxel`, the volume's nanometers per voxel.
    The quotient of the two is taken as the exact ratio of what the decimals say, so that a point on the
    border of a voxel stays in it (3.6 nm units in 7.2 nm voxels are halves, not 0.49999). Raises
    BadCoordinates naming the first offending row.
    """
    positions = np.asarray(points, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise BadCoordinates(f"points have shape {positions.shape}; x, y and z of each are needed, shape (n, 3)")
    ratios = [_ratio(*pair) for pair in zip(units, voxel, strict=True)]
    over, under = (
        np.array([getattr(r, part) for r in ratios], dtype=np.float64) for part in ("numerator", "denominator")
    )
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.floor(positions * over / under)
        good = (np.abs(scaled) < _LIMIT).all(axis=1)  # NaN compares false
    if not good.all():
        row = int(np.argmin(good))
        raise BadCoordinates(
            f"point {row} of {len(positions)} is at {positions[row].tolist()}: coordinates must be finite "
            f"and below 2^31 voxels ({int((~good).sum())} such points)",
            row=row,
        )
    return scaled.astype(np.int64)


def _ratio(units: float, voxel: float) -> Fraction:
    if not (np.isfinite(units) and np.isfinite(voxel) and units > 0 and voxel > 0):
        raise BadCoordinates(f"units of {units} nm in voxels of {voxel} nm: both must be positive")
    return Fraction(str(units)) / Fraction(str(voxel))
