"""What a graph knows in memory, rebuilt from its folder: the present trees, their history, and the log."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from localcave.building import Base
from localcave.edgetable import EdgeChange
from localcave.errors import Conflict
from localcave.forest import Forest
from localcave.history import History, View
from localcave.ids import IdLayout, Ids, Minter, Rows, layers_of
from localcave.journal import Entry, Journal, Operation
from localcave.supervoxels import SupervoxelIndex

ARRAYS = ("ids", "parents", "edges", "areas", "chunks", "starts")
FORMAT = 2


@dataclass(frozen=True)
class About:
    """The fixed facts of a graph: its table, its birth, and its number of layers."""

    table: str
    birth_ms: int
    layers: int
    format: int = 1

    @staticmethod
    def read(folder: Path) -> About:
        """Read them from a graph's folder."""
        about = About(**json.loads((folder / "graph.json").read_text()))
        if about.format != FORMAT:
            raise Conflict(
                f"{folder} was written by another release of localcave; delete it and load the world again, or "
                "choose a fresh --dir"
            )
        return about


@dataclass(frozen=True)
class Pending:
    """An entry that readers do not see yet, with the rows of the roots it retires."""

    entry: Entry
    old_roots: Rows


class State:
    """The graph's memory. `publish` and `enlist` are for the writer; readers take the view."""

    def __init__(self, folder: Path, journal: Journal, now_ms: int) -> None:
        about = About.read(folder)
        base = Base(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS))
        base = Base(np.array(base.ids), *(getattr(base, name) for name in ARRAYS[1:]))
        self.about, self.layout = about, IdLayout(about.layers)
        self.supervoxel_count = int(np.searchsorted(base.ids, np.uint64(2 << 56)))
        self.edge_count = int((base.areas > 0).sum())
        minter = Minter(self.layout, about.table)
        minter.observe(base.ids)
        self.supervoxels = SupervoxelIndex(self.layout, base.ids[: self.supervoxel_count])
        self.forest = Forest(self.layout, base, minter)
        self.history = History(base, self.forest.tree.ids, about.birth_ms)
        first = self.supervoxel_count
        self.row_of = dict(zip(base.ids[first:].tolist(), range(first, len(base.ids)), strict=True))
        self.operations: list[Operation] = []
        self.made_by: dict[int, Operation] = {}
        self.retired_by: dict[int, Operation] = {}
        self.roots_at_birth = int((layers_of(base.ids) == about.layers).sum())
        self._pending: deque[Pending] = deque()
        self._replay(journal, minter)
        self.publish(now_ms)

    def rows(self, ids: Ids) -> Rows:
        """Return the row of each id of any layer, -1 for an unknown one."""
        found = self.supervoxels.rows(ids)
        others = np.flatnonzero(layers_of(ids) != 1)
        for place, identity in zip(others.tolist(), ids[others].tolist(), strict=True):
            found[place] = self.row_of.get(identity, -1)
        return found

    def change(self, operation: Operation) -> EdgeChange:
        """Return an operation's edges by row."""
        flat = np.array((*operation.added, *operation.removed), np.uint64)
        pairs = self.supervoxels.rows(flat).reshape(-1, 2).astype(np.int32)
        count = len(operation.added) // 2
        return EdgeChange(pairs[:count], pairs[count:], np.array(operation.areas, np.int32))

    def last_time(self) -> int:
        """Return the moment of the newest edit, or the birth."""
        return self.operations[-1].time_ms if self.operations else self.about.birth_ms

    def enlist(self, pending: Pending) -> None:
        """Take in an operation that is in the log, yet to be published."""
        operation = pending.entry.operation
        self.operations.append(operation)
        self.made_by.update(dict.fromkeys(operation.new_roots, operation))
        self.retired_by.update(dict.fromkeys(operation.old_roots, operation))
        self.row_of.update((node.id, node.row) for node in pending.entry.nodes)
        self._pending.append(pending)

    def due(self, now_ms: int) -> bool:
        """Return whether something waits to be published."""
        try:
            return self._pending[0].entry.operation.visible_ms <= now_ms
        except IndexError:
            return False

    def publish(self, now_ms: int) -> None:
        """Show readers what is due."""
        due: list[Pending] = []
        while self.due(now_ms):
            due.append(self._pending.popleft())
        self.history.record([item.entry for item in due], [item.old_roots for item in due])
        self.view: View = self.history.view()

    def _replay(self, journal: Journal, minter: Minter) -> None:
        made: list[int] = []
        for entry in journal.entries():
            self.forest.adopt(entry.nodes, self.change(entry.operation))
            made.extend(node.id for node in entry.nodes)
            self.enlist(Pending(entry, np.array(self._old_rows(entry.operation.old_roots), np.int64)))
        minter.observe(np.array(made, np.uint64))

    def _old_rows(self, roots: Sequence[int]) -> list[int]:
        return [self.row_of[root] for root in roots]
