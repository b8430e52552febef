"""The variables of the whole sky in a file, of which a visit touches only the trixels that it sees."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from lsst.sphgeom import Angle, Circle, UnitVector3d

from .errors import BadSources
from .generators import Vectors
from .htm import cover, pixels

BUCKET_LEVEL = 7
"""Trixels of about 0.3 square degrees: some 60 of them cover a field of view."""
_CHUNK = 1 << 20
_FIRST = 8 << (2 * BUCKET_LEVEL)
Ids = npt.NDArray[np.int64]


class Sky:
    """Unit vectors of variables, shape (n, 3), memory-mapped; a variable's place in the file is its object id.

    `gen_sources` writes them in the order of their trixels. Beside any other file an index is made once, named
    like the file with `.htm7.npy` and `.order.npy` added.
    """

    def __init__(self, vectors: Vectors, starts: Ids, order: Ids | None) -> None:
        self._vectors = vectors
        self._starts = starts
        self._order = order

    def __len__(self) -> int:
        return len(self._vectors)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a sources file. Raises BadSources."""
        try:
            vectors = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise BadSources(f"cannot read the sources file {str(path)!r}: {error}; gen_sources makes one") from error
        if vectors.ndim != 2 or vectors.shape[1] != 3 or vectors.dtype != np.float64:
            raise BadSources(f"{path} holds {vectors.dtype} of shape {vectors.shape}, not double unit vectors (n, 3)")
        starts_file, order_file = _beside(path, "htm7"), _beside(path, "order")
        if not _is_fresh(starts_file, path):
            write_index(path, vectors)
        order = np.load(order_file, mmap_mode="r") if order_file.exists() else None
        return cls(vectors, np.load(starts_file, mmap_mode="r"), order)

    def inside(self, direction: Vectors, open_angle: float) -> tuple[Vectors, Ids]:
        """Variables in the cone of full opening `open_angle`, radians: vectors (n, 3) and ids (n,), by id."""
        ids = self._candidates(direction, open_angle)
        found = np.asarray(self._vectors[ids])
        seen = found @ direction > np.cos(open_angle / 2)
        return found[seen], ids[seen]

    def _candidates(self, direction: Vectors, open_angle: float) -> Ids:
        region = Circle(UnitVector3d(*map(float, direction)), Angle(open_angle / 2))
        # One hint per bucket: coarser ranges would only bring more candidates.
        ranges = cover(region, 4096, BUCKET_LEVEL)
        spans = [(self._starts[r.first - _FIRST], self._starts[r.last + 1 - _FIRST]) for r in ranges]
        places = np.concatenate([np.arange(begin, end) for begin, end in spans] or [np.empty(0, np.int64)])
        return np.sort(places if self._order is None else np.asarray(self._order[places]))


def write_sky(path: Path, vectors: Vectors) -> None:
    """Write a sources file in the order of the trixels, and its index."""
    _save(path, vectors[np.argsort(pixels(vectors, BUCKET_LEVEL), kind="stable")])
    write_index(path, np.load(path, mmap_mode="r"))


def write_index(path: Path, vectors: Vectors) -> None:
    """Write where each trixel's variables begin, and their order if the file has another one."""
    buckets = np.empty(len(vectors), dtype=np.int64)
    for begin in range(0, len(vectors), _CHUNK):
        buckets[begin : begin + _CHUNK] = pixels(vectors[begin : begin + _CHUNK], BUCKET_LEVEL) - _FIRST
    _beside(path, "order").unlink(missing_ok=True)
    if np.any(buckets[1:] < buckets[:-1]):
        order = np.argsort(buckets, kind="stable")
        _save(_beside(path, "order"), order)
        buckets = buckets[order]
    # The starts come last: with them the index counts as made.
    _save(_beside(path, "htm7"), np.searchsorted(buckets, np.arange(_FIRST + 1)))


def _save(path: Path, array: npt.NDArray[np.generic]) -> None:
    # Under another name first, so that a crash leaves no half file; an open file, so that numpy adds no ending.
    half = path.with_name(path.name + f".{os.getpid()}")
    with half.open("wb") as stream:
        np.save(stream, array)
    half.replace(path)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}.npy")


def _is_fresh(index: Path, path: Path) -> bool:
    return index.exists() and index.stat().st_mtime_ns >= path.stat().st_mtime_ns
