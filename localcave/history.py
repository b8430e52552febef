"""Who was whose parent when: the index that answers questions about any moment.

A node's first parent lies in a plain array; only nodes that edits gave a second parent are searched for, by
one sorted key of node row and milliseconds since the graph's birth. Readers hold a view that no later edit
changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.building import Base
from localcave.growing import Growing
from localcave.ids import LAYER_SHIFT, Ids, Rows
from localcave.journal import Entry, Operation

TIME_BITS = 40  # 34 years of milliseconds
LATEST = (1 << TIME_BITS) - 1
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class View:
    """The history as far as it was visible at one instant. Times are milliseconds since 1970, rows as in
    `Base`.
    """

    birth_ms: int
    ids: Ids
    first_parent: npt.NDArray[np.int32]
    first_ms: npt.NDArray[np.int64]
    created_ms: npt.NDArray[np.int64]
    retired_ms: npt.NDArray[np.int64]
    reparented: npt.NDArray[np.bool_]
    keys: npt.NDArray[np.uint64]
    later_parent: npt.NDArray[np.int32]
    operations: tuple[Operation, ...]

    def parents(self, rows: Rows, at_ms: int) -> Rows:
        """Return the row of each node's parent at a moment, -1 where it had none."""
        found = np.where(self.first_ms[rows] <= at_ms, self.first_parent[rows], -1).astype(np.int64)
        moved = np.flatnonzero(self.reparented[rows])
        if len(moved) and at_ms >= self.birth_ms and len(self.keys):
            since = np.uint64(min(at_ms - self.birth_ms, LATEST))
            wanted = rows[moved].astype(np.uint64)
            place = np.searchsorted(self.keys, (wanted << np.uint64(TIME_BITS)) | since, side="right") - 1
            hit = (place >= 0) & (self.keys[place] >> np.uint64(TIME_BITS) == wanted)
            found[moved[hit]] = self.later_parent[place[hit]]
        return found

    def climb(self, rows: Rows, at_ms: int, stop_layer: int) -> Rows:
        """Return the first ancestor of each node at or above a layer at a moment, -1 where there was none."""
        found = rows.copy()
        low = np.flatnonzero(self._below(found, stop_layer))
        while len(low):
            found[low] = self.parents(found[low], at_ms)
            low = low[self._below(found[low], stop_layer)]
        return found

    def _below(self, rows: Rows, layer: int) -> npt.NDArray[np.bool_]:
        return (rows >= 0) & (self.ids[rows] < np.uint64(layer << LAYER_SHIFT))


class History:
    """Grows by what edits did; `view` freezes it. Only the graph's writer calls `record`."""

    def __init__(self, base: Base, ids: Growing[np.uint64], birth_ms: int) -> None:
        self._ids, self._birth = ids, birth_ms
        count = len(base.ids)
        self._first_parent = Growing(base.parents)
        self._first_ms = Growing(np.where(base.parents >= 0, birth_ms, NEVER))
        self._created = Growing(np.full(count, birth_ms, np.int64))
        self._retired = Growing(np.full(count, NEVER, np.int64))
        self._reparented = Growing(np.zeros(count, np.bool_))
        self._keys = np.empty(0, np.uint64)
        self._later = np.empty(0, np.int32)
        self._operations: tuple[Operation, ...] = ()

    def view(self) -> View:
        """Freeze what was recorded so far."""
        return View(
            birth_ms=self._birth,
            ids=self._ids.values[: len(self._created)],
            first_parent=self._first_parent.values,
            first_ms=self._first_ms.values,
            created_ms=self._created.values,
            retired_ms=self._retired.values,
            reparented=self._reparented.values,
            keys=self._keys,
            later_parent=self._later,
            operations=self._operations,
        )

    def record(self, entries: Sequence[Entry], old_roots: Sequence[Rows]) -> None:
        """Take in operations in their order, with the rows of the roots that each retired."""
        later: list[tuple[npt.NDArray[np.int32], int, int]] = []
        for entry in entries:
            later.extend((node.children, entry.operation.time_ms, node.row) for node in entry.nodes)
        self._grow([time for _, time, _ in later])
        for entry, retired in zip(entries, old_roots, strict=True):
            self._retired.values[retired] = entry.operation.time_ms
        self._reparent(later)
        self._operations += tuple(entry.operation for entry in entries)

    def _grow(self, times: list[int]) -> None:
        self._created.extend(times)
        self._retired.extend([NEVER] * len(times))
        self._first_parent.extend([-1] * len(times))
        self._first_ms.extend([NEVER] * len(times))
        self._reparented.extend([False] * len(times))

    def _reparent(self, made: list[tuple[npt.NDArray[np.int32], int, int]]) -> None:
        if not made:
            return
        sizes = [len(children) for children, _, _ in made]
        children = np.concatenate([part for part, _, _ in made])
        times = np.repeat(np.array([time for _, time, _ in made], np.int64), sizes)
        parents = np.repeat(np.array([parent for _, _, parent in made], np.int32), sizes)
        first = np.zeros(len(children), np.bool_)
        first[np.unique(children, return_index=True)[1]] = True
        first &= self._first_ms.values[children] == NEVER
        self._first_parent.values[children[first]] = parents[first]
        self._first_ms.values[children[first]] = times[first]
        self._insert(children[~first], times[~first], parents[~first])

    def _insert(self, children: npt.NDArray[np.int32], times: Rows, parents: npt.NDArray[np.int32]) -> None:
        keys = (children.astype(np.uint64) << np.uint64(TIME_BITS)) | (times - self._birth).astype(np.uint64)
        order = np.argsort(keys, kind="stable")
        places = np.searchsorted(self._keys, keys[order], side="right")
        self._keys = np.insert(self._keys, places, keys[order])
        self._later = np.insert(self._later, places, parents[order])
        self._reparented.values[children] = True
