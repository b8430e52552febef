"""The hierarchical triangular mesh: trixel ids of many points at once, and ranges that cover a region."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from lsst.sphgeom import HtmPixelization, Region

from .constants import HTM_LEVEL, HTM_MAX_RANGES

Vectors = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
_Triple = tuple[Vectors, Vectors, Vectors]

# Bounds the memory of a descent over a whole sky; the speed hardly depends on it.
_BLOCK = 8192


class PixelRange(NamedTuple):
    """Trixel ids from `first` to `last`, both inclusive."""

    first: int
    last: int


def unit_vectors(ra: npt.ArrayLike, decl: npt.ArrayLike) -> Vectors:
    """Unit vectors, shape (n, 3), of positions in degrees."""
    lon, lat = np.radians(np.asarray(ra, dtype=float)), np.radians(np.asarray(decl, dtype=float))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def positions(xyz: Vectors) -> tuple[Vectors, Vectors]:
    """Right ascension in [0, 360) and declination, degrees, of unit vectors of shape (n, 3)."""
    ra = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0])) % 360.0
    return ra, np.degrees(np.arctan2(xyz[:, 2], np.hypot(xyz[:, 0], xyz[:, 1])))


def pixels(xyz: Vectors, level: int = HTM_LEVEL) -> Ids:
    """Trixel ids of unit vectors, shape (n, 3), equal to what `lsst.sphgeom` gives for each."""
    out = np.empty(len(xyz), dtype=np.int64)
    for begin in range(0, len(xyz), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        out[block] = _descend(tuple(np.ascontiguousarray(axis) for axis in xyz[block].T), level)  # type: ignore[arg-type]
    return out


def cover(region: Region, max_ranges: int = HTM_MAX_RANGES, level: int = HTM_LEVEL) -> tuple[PixelRange, ...]:
    """Ranges of trixels that hold every point of `region`, and some points around it."""
    # Asked for a single range, lsst-sphgeom now and then leaves a corner of the region out; with two it does not.
    ranges = _mesh(level).envelope(region, max(max_ranges, 2)).ranges()
    spans = tuple(PixelRange(int(begin), int(end) - 1) for begin, end in ranges)
    return spans if len(spans) <= max_ranges else (PixelRange(spans[0].first, spans[-1].last),)


@lru_cache(maxsize=4)
def _mesh(level: int) -> HtmPixelization:
    return HtmPixelization(level)


@lru_cache(maxsize=1)
def _roots() -> npt.NDArray[np.float64]:
    """Corners of the eight root trixels, shape (8, 3 corners, 3)."""
    mesh = _mesh(0)
    corners = [mesh.triangle(8 + root).getVertices() for root in range(8)]
    return np.array([[[v.x(), v.y(), v.z()] for v in triangle] for triangle in corners])


def _root_of(p: _Triple) -> Ids:
    # Quadrants of the x-y plane, counted as the root trixels are: S0-S3 eastwards, N0-N3 westwards from the x axis.
    x, y, z = p
    quadrant = np.where(y > 0, np.where(x > 0, 0, 1), np.where(x < 0, 2, 3))
    quadrant = np.where(y == 0, np.where(x >= 0, 0, 2), quadrant)
    north = np.where(y == 0, np.where(x >= 0, 3, 1), 3 - quadrant)
    return np.where(z < 0, quadrant, 4 + north)


def _descend(p: _Triple, level: int) -> Ids:
    root = _root_of(p)
    v0, v1, v2 = (tuple(_roots()[root, corner].T.copy()) for corner in range(3))
    index = root + 8
    for _ in range(level):
        w0, w1, w2 = _middle(v1, v2), _middle(v2, v0), _middle(v0, v1)
        in0 = _beyond(w2, w1, p)
        in1 = ~in0 & _beyond(w0, w2, p)
        in2 = ~(in0 | in1) & _beyond(w1, w0, p)
        child = np.where(in0, 0, np.where(in1, 1, np.where(in2, 2, 3)))
        index = index * 4 + child
        # Children are (v0 w2 w1), (v1 w0 w2), (v2 w1 w0) and the middle one, (w0 w1 w2).
        middle = child == 3
        v0, v1, v2 = (
            _pick(middle, w0, _pick(in0, v0, _pick(in1, v1, v2))),
            _pick(in0, w2, _pick(in1, w0, w1)),
            _pick(in0, w1, _pick(in1, w2, _pick(middle, w2, w0))),
        )
    return index.astype(np.int64)


def _middle(a: _Triple, b: _Triple) -> _Triple:
    x, y, z = a[0] + b[0], a[1] + b[1], a[2] + b[2]
    norm = np.sqrt(x * x + y * y + z * z)
    return x / norm, y / norm, z / norm


def _beyond(a: _Triple, b: _Triple, p: _Triple) -> npt.NDArray[np.bool_]:
    """Whether `p` lies to the left of the arc from `a` to `b`."""
    return (
        (a[1] * b[2] - a[2] * b[1]) * p[0] + (a[2] * b[0] - a[0] * b[2]) * p[1] + (a[0] * b[1] - a[1] * b[0]) * p[2]
    ) >= 0.0


def _pick(condition: npt.NDArray[np.bool_], yes: _Triple, no: _Triple) -> _Triple:
    return tuple(np.where(condition, a, b) for a, b in zip(yes, no, strict=True))  # type: ignore[return-value]
