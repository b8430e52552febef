"""What the engine asks of the world. Gateways answer; tests may answer in their place to inject a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .datastack import Datastack, Resolution

Ids = npt.NDArray[np.int64]
"""One id a row. Ids are unsigned 64 bits at the neighbors, and fit a signed bigint (outside_services 2)."""

LAYER_SHIFT = 56
"""The top 8 bits of an id are its layer (outside_services.md 2)."""

Points = npt.NDArray[np.float64]
"""Shape (n, 3): positions in the units of their table."""


class Reason(IntEnum):
    """Why a look-up gave the id it gave."""

    FOUND = 0
    BACKGROUND = 1
    OUTSIDE = 2
    MISSING_CHUNK = 3
    UNKNOWN_TO_GRAPH = 4
    """The graph knows no root of this supervoxel at that moment."""
    NOT_LOOKED_UP = 5
    NO_POSITION = 6
    """The annotation has no such point, so there is nothing to look up."""

    @property
    def resolved(self) -> bool:
        """Whether the id, 0 included, is an answer."""
        return self in (Reason.FOUND, Reason.BACKGROUND, Reason.OUTSIDE)

    @property
    def owed(self) -> bool:
        """Whether the id is missing and should be looked up again."""
        return not self.resolved and self is not Reason.NO_POSITION


@dataclass(frozen=True, slots=True)
class SupervoxelLookup:
    """Supervoxel ids, shape (n,), aligned with the points asked; `reason` holds `Reason` codes, uint8 (n,)."""

    ids: Ids
    reason: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RootLookup:
    """Root ids, shape (n,), aligned with the supervoxels asked; where `resolved` is false the root is 0."""

    roots: Ids
    resolved: npt.NDArray[np.bool_]

    def contradicts(self, roots: Ids) -> Ids:
        """Places of the roots, shape (n,), that are others than these, or are known to nobody."""
        return np.flatnonzero(~self.resolved | (self.roots != roots))


@dataclass(frozen=True, slots=True)
class RootChanges:
    """Roots that edits of a window replaced, and those that they made; sorted, distinct, supersets do no harm."""

    replaced: Ids
    made: Ids


class ChunkedGraph(Protocol):
    """The segmentation's editable half: supervoxel to root, at a moment."""

    table: str

    def top_layer(self) -> int:
        """The layer of root ids, which every root carries in its top 8 bits."""
        ...

    def roots(self, supervoxels: Ids, at: datetime) -> RootLookup:
        """The root of each supervoxel at a moment. 0 gives 0. Raises NeighborDown, GatewayAnswer."""
        ...

    def expired_roots(self, since: datetime, until: datetime) -> Ids:
        """Sorted distinct roots that an edit replaced in a window; a superset does no harm."""
        ...

    def root_times(self, roots: Ids) -> tuple[datetime, ...]:
        """When each root came to be. Raises GatewayRefused where the graph does not know one of them."""
        ...

    def root_changes(self, since: datetime, until: datetime) -> RootChanges:
        """What the edits of a window did to roots."""
        ...

    def relatives(self, roots: Ids, since: datetime, until: datetime) -> Ids:
        """What led to some roots since a moment, and what came of them until another; sorted, themselves included.

        A superset does no harm. Raises GatewayRefused where the graph does not know one of them.
        """
        ...

    def is_latest(self, roots: Ids, at: datetime) -> npt.NDArray[np.bool_]:
        """Whether each id was a root at a moment; at an edit's own millisecond the old one still counts."""
        ...


class Segmentation(Protocol):
    """The segmentation's fixed half: position to supervoxel."""

    def supervoxels(self, points: Points, resolution: Resolution) -> SupervoxelLookup:
        """The supervoxel under each point. Raises BadCoordinates, VolumeUnreadable, NeighborDown."""
        ...


class Datastacks(Protocol):
    """The info service, as far as the engine needs it."""

    def names(self) -> tuple[str, ...]:
        """Every datastack that can be seen."""
        ...

    def get(self, name: str) -> Datastack:
        """One datastack. Raises UnknownDatastack, NeighborDown."""
        ...


@dataclass(frozen=True, slots=True)
class ColumnFile:
    """The header of one `.npy` file: rows, values per row, dtype in numpy's notation (`<i8`)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    fortran_order: bool
    data_offset: int

    @property
    def rows(self) -> int:
        """Length of the first axis."""
        return self.shape[0] if self.shape else 0

    @property
    def width(self) -> int:
        """Values per row: 1 for a flat array."""
        return self.shape[1] if len(self.shape) == 2 else 1


class Folder(Protocol):
    """A folder of `.npy` files, local or in a bucket."""

    url: str

    def list(self) -> tuple[str, ...]:
        """File names, sorted."""
        ...

    def header(self, name: str) -> ColumnFile:
        """Shape and type of one file, from its first bytes. Raises BadUpload, NeighborDown."""
        ...

    def rows(self, file: ColumnFile, start: int, stop: int) -> npt.NDArray[Any]:
        """Rows [start, stop), shape (stop - start,) or (stop - start, width), by ranged reads only."""
        ...


class Annotations(Protocol):
    """The annotation service."""

    def rows(self, volume: str, table: str, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Whole rows in the order of `ids`, current or not, with their history."""
        ...
