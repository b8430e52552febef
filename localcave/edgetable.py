"""Every edge that ever held an object together, found by the chunk in which its two ends first meet.

An edge that was cut stays in the table, switched off, so that an undo or a later merge can bring it back with
its contact area.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.building import Base
from localcave.growing import Growing
from localcave.ids import IdLayout, Rows

Edges = npt.NDArray[np.int32]

NO_EDGES = np.empty((0, 2), np.int32)
NO_ROWS = np.empty(0, np.int64)
NO_AREAS = np.empty(0, np.int32)


@dataclass(frozen=True)
class EdgeChange:
    """Edges between supervoxel rows, the smaller first, to switch on and off.

    `areas` belongs to `added`; 0 marks an edge between what does not touch. An edge that is in the table
    already keeps its area.
    """

    added: Edges
    removed: Edges
    areas: npt.NDArray[np.int32]

    @staticmethod
    def of(added: Edges = NO_EDGES, removed: Edges = NO_EDGES) -> EdgeChange:
        """Return a change whose added edges stand for no contact."""
        return EdgeChange(added, removed, np.zeros(len(added), np.int32))

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not len(self.added) and not len(self.removed)


class EdgeTable:
    """The edges of one graph. Edges go by their number in the table."""

    def __init__(self, layout: IdLayout, base: Base) -> None:
        self._layout = layout
        self._ids = base.ids
        self._chunks, self._starts = base.chunks, base.starts
        self._first = Growing(base.edges[:, 0])
        self._second = Growing(base.edges[:, 1])
        self._areas = Growing(base.areas)
        self._active = Growing(np.ones(len(base.areas), np.bool_))
        self._later: dict[int, list[int]] = {}
        self._off: dict[int, set[int]] = {}  # cut edges by each of their ends

    def ends(self, numbers: Rows) -> Edges:
        """Return the (k, 2) supervoxel rows of edges."""
        return np.stack([self._first.values[numbers], self._second.values[numbers]], axis=1)

    def areas(self, numbers: Rows) -> npt.NDArray[np.int32]:
        """Return the contact areas of edges."""
        return self._areas.values[numbers]

    def active(self, numbers: Rows) -> npt.NDArray[np.bool_]:
        """Return which edges hold something together now."""
        return self._active.values[numbers]

    def meeting_in(self, chunks: Iterable[int]) -> Rows:
        """Return the edges, active or not, whose ends first meet in some chunks."""
        parts = [NO_ROWS]
        for chunk in chunks:
            parts.append(np.arange(*self._span(chunk)))
            parts.append(np.array(self._later.get(chunk, ()), np.int64))
        return np.concatenate(parts)

    def active_in(self, chunks: Iterable[int], among: npt.NDArray[np.bool_] | None = None) -> Rows:
        """Return the active edges whose ends first meet in some chunks.

        `among`, one flag for each supervoxel, leaves out edges whose first end is not flagged.
        """
        parts, active, first = [NO_ROWS], self._active.values, self._first.values
        for chunk in chunks:
            low, high = self._span(chunk)
            chosen = active[low:high] if among is None else active[low:high] & among[first[low:high]]
            parts.append(low + np.flatnonzero(chosen))
            if chunk in self._later:
                later = np.array(self._later[chunk])
                parts.append(later[active[later]])
        return np.concatenate(parts)

    def off_at(self, rows: Rows) -> Rows:
        """Return the edges at some supervoxels that were cut and not brought back."""
        found = set[int]().union(*(self._off[row] for row in rows.tolist() if row in self._off))
        return np.array(sorted(found), np.int64)

    def find(self, pairs: Edges) -> Rows:
        """Return the number of each pair's edge, -1 where the two never had one."""
        found = np.full(len(pairs), -1, np.int64)
        wanted = _keys(pairs)
        chunks = self.meeting_chunks(pairs)
        for chunk in np.unique(chunks).tolist():
            places = np.flatnonzero(chunks == np.uint64(chunk))
            here = self.meeting_in([chunk])
            keys = _keys(self.ends(here))
            hits = np.flatnonzero(np.isin(keys, wanted[places]))
            numbers = dict(zip(keys[hits].tolist(), here[hits].tolist(), strict=True))
            found[places] = [numbers.get(key, -1) for key in wanted[places].tolist()]
        return found

    def needed(self, change: EdgeChange) -> EdgeChange:
        """Return what of a change is not so already."""
        on, off = self.find(change.added), self.find(change.removed)
        missing = (on < 0) | ~self._active.values[on]
        present = (off >= 0) & self._active.values[off]
        return EdgeChange(change.added[missing], change.removed[present], change.areas[missing])

    def switch(self, change: EdgeChange) -> None:
        """Make a change."""
        off, on = self.find(change.removed), self.find(change.added)
        fresh = on < 0
        self._active.values[off[off >= 0]] = False
        self._active.values[on[~fresh]] = True
        self._remember_off(off[off >= 0], on[~fresh])
        numbers = range(len(self._first), len(self._first) + int(fresh.sum()))
        for chunk, number in zip(self.meeting_chunks(change.added[fresh]).tolist(), numbers, strict=True):
            self._later.setdefault(chunk, []).append(number)
        self._first.extend(change.added[fresh, 0])
        self._second.extend(change.added[fresh, 1])
        self._areas.extend(change.areas[fresh])
        self._active.extend(np.ones(len(numbers), np.bool_))

    def meeting_chunks(self, pairs: Edges) -> npt.NDArray[np.uint64]:
        """Return the chunk prefix in which each pair of supervoxels first meets."""
        return self._layout.meeting_chunks(self._ids[pairs[:, 0]], self._ids[pairs[:, 1]])

    def _remember_off(self, off: Rows, on: Rows) -> None:
        for number, ends in zip(off.tolist(), self.ends(off).tolist(), strict=True):
            for end in ends:
                self._off.setdefault(end, set()).add(number)
        for number, ends in zip(on.tolist(), self.ends(on).tolist(), strict=True):
            for end in ends:
                self._off.get(end, set()).discard(number)

    def _span(self, chunk: int) -> tuple[int, int]:
        place = int(np.searchsorted(self._chunks, np.uint64(chunk)))
        if place == len(self._chunks) or int(self._chunks[place]) != chunk:
            return 0, 0
        return int(self._starts[place]), int(self._starts[place + 1])


def _keys(pairs: Edges) -> npt.NDArray[np.int64]:
    return (pairs[:, 0].astype(np.int64) << 32) | pairs[:, 1]
