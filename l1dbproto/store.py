"""The seam between the science API and whatever keeps the rows.

`L1db` speaks to a `Store` in batches of columns, regions as trixel ranges, and moments. `SqlStore` is the one
implementation; `docs/l1db/beyond-one-machine.md` tells what another would have to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .htm import PixelRange
from .records import Visit

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class VisitData:
    """What one call stores, all of it or nothing.

    Attributes
    ----------
    time
        The visit's moment, naive UTC; None where the call knows none.
    objects, sources, forced
        Rows by column, or None.
    visit
        The visit that is over with this call.
    tile
        The visit's id and the number of the tile that these rows are, when a visit is stored in parts.
    """

    time: datetime | None = None
    objects: pa.Table | None = None
    sources: pa.Table | None = None
    forced: pa.Table | None = None
    visit: Visit | None = None
    tile: tuple[int, int] | None = None


class Store(Protocol):
    """Keeps the versions of objects and the history of sources."""

    def make_schema(self, drop: bool) -> None:
        """Make what is missing, after removing everything if `drop`. Raises SchemaError if what is there differs."""

    def read_objects(self, ranges: tuple[PixelRange, ...], explain: bool) -> pa.Table:
        """Latest versions in the ranges."""

    def read_sources(self, where: tuple[PixelRange, ...] | Ids, visit_time: datetime | None, explain: bool) -> pa.Table:
        """History of sources in the ranges or of the objects, `read_sources_months` back from `visit_time`
        (default: the newest moment stored)."""

    def read_forced(self, ids: Ids, visit_time: datetime | None, explain: bool) -> pa.Table:
        """History of forced sources of the objects, `read_forced_sources_months` back."""

    def write(self, data: VisitData, explain: bool) -> None:
        """Store everything in `data`, or nothing of it."""

    def last_visit(self) -> Visit | None:
        """The newest visit that is over, with the largest ids in use then."""

    def tiles_of(self, visit_id: int) -> frozenset[int]:
        """Tiles that an unfinished visit has stored."""

    def row_counts(self) -> dict[str, int]:
        """Rows by table."""

    def daily(self) -> None:
        """Merge the nightly table, and tidy up."""

    def close(self) -> None:
        """Let go of connections."""
