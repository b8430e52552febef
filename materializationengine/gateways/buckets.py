"""Columns of a bulk upload: `.npy` files of a local folder or a bucket, read by ranges (workflows.md 2.8).

Only as many bytes travel as rows were asked for, so memory is bounded by the batch and not by the file.
"""

from __future__ import annotations

import difflib
import io
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from ..domain.errors import BadUpload, GatewayAnswer
from ..domain.ports import ColumnFile
from .access import GcsAccess

HEADER_BYTES = 16 * 1024
"""More than numpy accepts of a header (10,000 characters), so one read is enough."""

_KINDS = "iufbSU"
"""Numpy's letters for whole numbers, floats, booleans and texts of fixed width."""


class Store(Protocol):
    """Files by name, whatever they lie on. All methods raise FileNotFoundError for what is not there."""

    def names(self) -> tuple[str, ...]:
        """File names, sorted; folders left out."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file."""
        ...

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop), fewer at the end of the file."""
        ...


class LocalStore:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> tuple[str, ...]:
        """File names, sorted."""
        return tuple(sorted(entry.name for entry in self._path.iterdir() if entry.is_file()))

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return (self._path / name).stat().st_size

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop)."""
        with (self._path / name).open("rb") as handle:
            handle.seek(start)
            return handle.read(stop - start)


def open_folder(url: str, access: GcsAccess | None = None) -> NpyFolder:
    """The folder at `file://`, a plain path, or `gs://bucket/path`. Raises BadUpload, CredentialsMissing."""
    if url.startswith("gs://"):
        from .gcs import GcsStore  # takes most of a second to import, and local uploads don't need it

        return NpyFolder(url, GcsStore(url, access or GcsAccess()))
    path = url.removeprefix("file://")
    if "://" in path:
        raise BadUpload(f"cannot read {url}: give a local path, file:// or gs://", field="path")
    return NpyFolder(url, LocalStore(Path(path)))


class NpyFolder:
    """A folder of `.npy` files, one column or several in each."""

    def __init__(self, url: str, store: Store) -> None:
        self.url = url
        self._store = store

    def list(self) -> tuple[str, ...]:
        """File names, sorted. Raises BadUpload if there is no such folder or it may not be read."""
        try:
            return self._store.names()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadUpload(f"there is no folder {self.url}", field="path") from error
        except PermissionError as error:
            raise BadUpload(f"the folder {self.url} may not be read: {error}", field="path") from error

    def header(self, name: str) -> ColumnFile:
        """Shape and type of a file, after a check that it is as long as they demand. Raises BadUpload."""
        start = self._read(name, 0, HEADER_BYTES)
        file = self._parse(name, start)
        needed = file.data_offset + file.rows * file.width * np.dtype(file.dtype).itemsize
        there = self._store.size(name)
        if there < needed:
            raise self._bad(
                name,
                f"is cut off: shape {file.shape} of {file.dtype} needs {needed} bytes, there are {there}; "
                "copy it again",
            )
        return file

    def rows(self, file: ColumnFile, start: int, stop: int) -> npt.NDArray[np.generic]:
        """Rows [start, stop) in this machine's byte order, shape (stop - start,) or (stop - start, width).

        C order is one range; Fortran order, one range for each column. The array may be read-only.
        """
        if not 0 <= start <= stop <= file.rows:
            raise ValueError(f"rows {start} to {stop} of {file.name}, which has {file.rows}")
        dtype = np.dtype(file.dtype)
        if file.fortran_order and len(file.shape) == 2:
            values = np.empty((stop - start, file.width), dtype=dtype)
            for column in range(file.width):
                values[:, column] = self._values(file, dtype, column * file.rows + start, stop - start)
        else:
            flat = self._values(file, dtype, start * file.width, (stop - start) * file.width)
            values = flat.reshape(stop - start, *file.shape[1:])
        return values.astype(dtype.newbyteorder("="), copy=False)

    def _values(self, file: ColumnFile, dtype: np.dtype[np.generic], first: int, count: int) -> npt.NDArray[np.generic]:
        start = file.data_offset + first * dtype.itemsize
        stop = start + count * dtype.itemsize
        content = self._read(file.name, start, stop) if count else b""
        if len(content) < stop - start:
            raise self._bad(file.name, f"became shorter while it was read: no bytes from {start + len(content)} on")
        if len(content) > stop - start:
            raise GatewayAnswer(f"{self.url}: asked for {stop - start} bytes of {file.name}, got {len(content)}")
        return np.frombuffer(content, dtype=dtype)

    def _read(self, name: str, start: int, stop: int) -> bytes:
        if "/" in name:
            raise self._bad(name, "lies in another folder; name a file of this one")
        try:
            return self._store.read(name, start, stop)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise self._absent(name) from error
        except PermissionError as error:
            raise self._bad(name, f"may not be read: {error}") from error

    def _absent(self, name: str) -> BadUpload:
        stems = {n.removesuffix(".npy"): n for n in self.list() if n.endswith(".npy")}
        near = difflib.get_close_matches(name.removesuffix(".npy"), stems, n=1)
        if near:
            return self._bad(name, f"does not exist; did you mean {stems[near[0]]}?")
        held = ", ".join(list(stems.values())[:10]) or "no .npy file"
        return self._bad(name, f"does not exist; the folder holds {held}")

    def _parse(self, name: str, content: bytes) -> ColumnFile:
        stream = io.BytesIO(content)
        try:
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran_order, dtype = read(stream)
        except ValueError as error:
            raise self._bad(name, f"is not a .npy file ({error}); write it with numpy.save") from error
        self._check_kind(name, dtype)
        if len(shape) not in (1, 2):
            raise self._bad(
                name, f"has shape {shape}; one value a row, shape (n,), or several, shape (n, m), are needed"
            )
        return ColumnFile(name, tuple(shape), dtype.str, bool(fortran_order), stream.tell())

    def _check_kind(self, name: str, dtype: np.dtype[np.generic]) -> None:
        if dtype.hasobject:
            raise self._bad(name, "holds pickled Python objects; save it with a numeric or fixed-width text dtype")
        if dtype.names is not None:
            raise self._bad(
                name, f"holds records of the fields {', '.join(dtype.names)}; save each field to its own file"
            )
        if dtype.kind not in _KINDS or dtype.subdtype is not None:
            raise self._bad(
                name, f"holds {dtype}; whole numbers, floats, booleans and fixed-width texts can be uploaded"
            )

    def _bad(self, name: str, what: str) -> BadUpload:
        return BadUpload(f"file {name} in {self.url} {what}", file=name)
