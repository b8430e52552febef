"""numpy columns as a stream of PostgreSQL's binary COPY, without a loop over rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.uint8]
"""One column, encoded: shape (rows, bytes)."""

BATCH = 200_000
_HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_TRAILER = b"\xff\xff"
_EPOCH = 946684800 * 1_000_000
"""Microseconds from 1970 to PostgreSQL's own epoch."""

_POINT_Z = np.frombuffer(b"\x01" + (1001).to_bytes(4, "little"), dtype=np.uint8)


def int8(values: npt.ArrayLike) -> Field:
    """bigint."""
    return _fixed(np.asarray(values).astype(">i8"))


def float8(values: npt.ArrayLike) -> Field:
    """double precision."""
    return _fixed(np.asarray(values).astype(">f8"))


def boolean(values: npt.ArrayLike) -> Field:
    """boolean."""
    return _fixed(np.asarray(values).astype("u1"))


def timestamp(micros: npt.ArrayLike) -> Field:
    """timestamp without time zone, from microseconds since 1970."""
    return int8(np.asarray(micros, dtype=np.int64) - _EPOCH)


def point_z(positions: npt.ArrayLike) -> Field:
    """geometry(PointZ), from numbers of shape (n, 3)."""
    xyz = np.ascontiguousarray(positions, dtype="<f8")
    found = np.empty((len(xyz), 29), dtype=np.uint8)
    found[:, :5] = _POINT_Z
    found[:, 5:] = xyz.view(np.uint8).reshape(len(xyz), 24)
    return found


def _fixed(values: npt.NDArray[Any]) -> Field:
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def rows(columns: Sequence[Field]) -> bytes:
    """Every row of some columns, without header and trailer."""
    count = len(columns[0])
    found = np.empty((count, 2 + sum(4 + column.shape[1] for column in columns)), dtype=np.uint8)
    found[:, :2] = np.frombuffer(len(columns).to_bytes(2, "big"), dtype=np.uint8)
    place = 2
    for column in columns:
        width = column.shape[1]
        found[:, place : place + 4] = np.frombuffer(width.to_bytes(4, "big"), dtype=np.uint8)
        found[:, place + 4 : place + 4 + width] = column
        place += 4 + width
    return found.tobytes()


class Stream(io.RawIOBase):
    """A whole COPY to read from; `columns(low, high)` gives some rows, encoded."""

    def __init__(self, columns: Callable[[int, int], Sequence[Field]], count: int) -> None:
        self._columns, self._count, self._done = columns, count, 0
        self._held = memoryview(_HEADER)
        self._trailer = _TRAILER

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, b"" at the end."""
        if not self._held:
            self._fill()
        taken = len(self._held) if size is None or size < 0 else size
        found, self._held = bytes(self._held[:taken]), self._held[taken:]
        return found

    def _fill(self) -> None:
        if self._done < self._count:
            until = min(self._done + BATCH, self._count)
            self._held, self._done = memoryview(rows(self._columns(self._done, until))), until
        else:
            self._held, self._trailer = memoryview(self._trailer), b""


class Sink(io.RawIOBase):
    """Takes bytes and counts them."""

    size = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Count."""
        self.size += len(data)
        return len(data)
