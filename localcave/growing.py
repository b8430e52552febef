"""An array that grows at its end while others read what was there before."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.generic)


class Growing(Generic[Kind]):
    """A one-dimensional array with room to spare. Growing moves the content; views taken earlier stay as they
    were.
    """

    def __init__(self, content: npt.NDArray[Kind]) -> None:
        self._room = content
        self._length = len(content)

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> npt.NDArray[Kind]:
        """The content, as a view that may be written to."""
        return self._room[: self._length]

    def extend(self, values: npt.ArrayLike) -> None:
        """Append values."""
        added = np.asarray(values, self._room.dtype)
        if not len(added):
            return  # the content may be a file, which is never written to
        needed = self._length + len(added)
        if needed > len(self._room):
            room = np.empty(max(needed, len(self._room) * 5 // 4 + 1024), self._room.dtype)
            room[: self._length] = self._room[: self._length]
            self._room = room
        self._room[self._length : needed] = added
        self._length = needed
