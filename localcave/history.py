"""Who was whose parent when: the index that answers questions about any moment.

A node's first parent lies in a plain array; only nodes that edits gave a second parent are searched for, by
one sorted key of node row and milliseconds since the graph's birth. Recent keys are kept apart, so that an
edit moves few of them. Readers hold a view that no later edit changes.
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
RECENT_KEYS = 1 << 14
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class LaterParents:
    """Parents that nodes got after their first: sorted keys of node row and time, and a parent row for each."""

    keys: npt.NDArray[np.uint64]
    parents: npt.NDArray[np.int32]

    @staticmethod
    def none() -> LaterParents:
        """Return an index without entries."""
        return LaterParents(np.empty(0, np.uint64), np.empty(0, np.int32))

    def find(self, rows: npt.NDArray[np.uint64], since: np.uint64) -> Rows:
        """Return each node's latest parent here up to a moment, -1 where there is none."""
        if not len(self.keys):
            return np.full(len(rows), -1, np.int64)
        place = np.searchsorted(self.keys, (rows << np.uint64(TIME_BITS)) | since, side="right") - 1
        hit = (place >= 0) & (self.keys[place] >> np.uint64(TIME_BITS) == rows)
        return np.where(hit, self.parents[place], -1)

    def joined(self, other: LaterParents) -> LaterParents:
        """Return the entries of both; those of `other` come later where keys are equal."""
        places = np.searchsorted(self.keys, other.keys, side="right")
        return LaterParents(np.insert(self.keys, places, other.keys), np.insert(self.parents, places, other.parents))


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
    settled: LaterParents
    recent: LaterParents
    log: Sequence[Operation]
    operation_count: int

    @property
    def operations(self) -> Sequence[Operation]:
        """The visible operations, oldest first."""
        return self.log[: self.operation_count]

    def parents(self, rows: Rows, at_ms: int) -> Rows:
        """Return the row of each node's parent at a moment, -1 where it had none."""
        found = np.where(self.first_ms[rows] <= at_ms, self.first_parent[rows], -1).astype(np.int64)
        moved = np.flatnonzero(self.reparented[rows])
        if len(moved) and at_ms >= self.birth_ms:
            since = np.uint64(min(at_ms - self.birth_ms, LATEST))
            wanted = rows[moved].astype(np.uint64)
            later = self.recent.find(wanted, since)
            older = later < 0
            later[older] = self.settled.find(wanted[older], since)
            found[moved[later >= 0]] = later[later >= 0]
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
        self._settled, self._recent = LaterParents.none(), LaterParents.none()
        self._log: list[Operation] = []

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
            settled=self._settled,
            recent=self._recent,
            log=self._log,
            operation_count=len(self._log),
        )

    def record(self, entries: Sequence[Entry], old_roots: Sequence[Rows]) -> None:
        """Take in operations in their order, with the rows of the roots that each retired."""
        later: list[tuple[npt.NDArray[np.int32], int, int]] = []
        for entry in entries:
            later.extend((node.children, entry.operation.time_ms, node.row) for node in entry.nodes)
        self._grow([time for _, time, _ in later])
        self._reparent(later)
        for entry, retired in zip(entries, old_roots, strict=True):
            self._retired.values[retired] = entry.operation.time_ms
        self._log.extend(entry.operation for entry in entries)

    def _grow(self, times: list[int]) -> None:
        count = len(times)
        self._created.extend(times)
        self._retired.extend(np.full(count, NEVER))
        self._first_parent.extend(np.full(count, -1))
        self._first_ms.extend(np.full(count, NEVER))
        self._reparented.extend(np.zeros(count, np.bool_))

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
        recent = self._recent.joined(LaterParents(keys[order], parents[order]))
        if len(recent.keys) > RECENT_KEYS:
            self._settled, recent = self._settled.joined(recent), LaterParents.none()
        self._recent = recent
        self._reparented.values[children] = True
