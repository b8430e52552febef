"""One table's chunkedgraph: the present trees, their history, and the log that both are rebuilt from."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from localcave import edits, times
from localcave.building import Base, build
from localcave.errors import BadRequest, Conflict, ServiceError
from localcave.forest import Forest
from localcave.history import History, View
from localcave.ids import IdLayout, Ids, Minter, Rows, layers_of
from localcave.journal import Entry, Journal, Operation
from localcave.supervoxels import SupervoxelIndex
from localcave.worldfile import WorldEdit, WorldFile

UNFINISHED = ".building-"
ARRAYS = ("ids", "parents", "edges", "areas")


@dataclass(frozen=True)
class Pending:
    """An entry that readers do not see yet, with the rows of the roots it retires."""

    entry: Entry
    old_roots: Rows


def create(world: WorldFile, table: str, folder: Path) -> None:
    """Build a graph's folder from a world; a process killed on the way leaves nothing that counts."""
    supervoxels, objects = world.supervoxels(), world.objects()
    if len(supervoxels) != len(objects) or (np.diff(supervoxels.astype(np.int64)) <= 0).any():
        raise BadRequest("supervoxels.npy must be sorted, without repeats, and as long as initial_object.npy")
    pairs, areas = world.edges()
    rows = SupervoxelIndex(world.layout, supervoxels).rows(pairs.ravel()).reshape(-1, 2)
    if (rows < 0).any():
        raise BadRequest("edges.npy names a supervoxel that is not in supervoxels.npy")
    if (objects[rows[:, 0]] != objects[rows[:, 1]]).any():
        raise BadRequest("edges.npy has an edge between two objects")
    base = build(world.layout, Minter(world.layout, table), supervoxels, objects, rows, areas)
    _write(folder, base, {"table": table, "birth_ms": world.birth_ms, "layers": world.layout.layers})


class Graph:
    """A chunkedgraph that answers about any moment and takes edits one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        about = json.loads((folder / "graph.json").read_text())
        self.table: str = about["table"]
        self.birth_ms: int = about["birth_ms"]
        self.layout = IdLayout(about["layers"])
        self.visibility_delay_ms = 0
        self._answered_ms: int | None = None
        self._journal = Journal(folder / "journal.sqlite")
        self._load()

    def view(self) -> View:
        """Return the history as far as it is visible now."""
        if self._pending and self._pending[0].entry.operation.visible_ms <= times.now_ms():
            with self._lock:
                self._publish()
        return self._view

    def rows(self, ids: Ids, view: View) -> Rows:
        """Return the row of each id of any layer, -1 for what the view does not know."""
        found = self._supervoxels.rows(ids)
        others = np.flatnonzero(layers_of(ids) != 1)
        known = self._row_of
        for place, identity in zip(others.tolist(), ids[others].tolist(), strict=True):
            row = known.get(identity, -1)
            found[place] = row if row < len(view.created_ms) else -1
        return found

    def knows(self, identity: int, view: View) -> bool:
        """Return whether a node above the supervoxels is visible in the view."""
        return self._row_of.get(identity, len(view.created_ms)) < len(view.created_ms)

    @property
    def supervoxel_count(self) -> int:
        """The number of supervoxels."""
        return self._supervoxel_count

    @property
    def edge_count(self) -> int:
        """The number of edges at birth, without virtual ones."""
        return self._edge_count

    @property
    def root_count(self) -> int:
        """The number of objects now."""
        ids = self._forest.ids.values
        roots = layers_of(ids) == self.layout.layers
        return int(roots.sum()) - len({old for op in self._operations for old in op.old_roots})

    @property
    def world_edits(self) -> int:
        """How many edits of the world folder were applied."""
        return max((op.world_edit or 0 for op in self._operations), default=0)

    @property
    def answered_ms(self) -> int | None:
        """The newest moment about which a question on roots was answered."""
        return self._answered_ms

    def note_answered(self, at_ms: int) -> None:
        """Remember that roots of a moment were told; a moment yet to come promises nothing beyond now."""
        settled = min(at_ms, max(times.now_ms(), self._last_time()))
        if self._answered_ms is None or settled > self._answered_ms:
            with self._lock:
                self._answered_ms = max(settled, self._answered_ms or settled)
                self._journal.set_mark("answered_ms", self._answered_ms)

    def apply_world_edits(self, world_edits: Iterable[WorldEdit], *, force: bool) -> int:
        """Apply edits at their own times, all or none, to be seen together; return how many."""
        visible = times.now_ms() + self.visibility_delay_ms if self.visibility_delay_ms else 0
        with self._lock:
            try:
                pending = [self._apply(edit, force, visible) for edit in world_edits]
                self._journal.append(item.entry for item in pending)
            except BaseException:
                self._load()  # the trees were changed in place
                raise
            self._pending.extend(pending)
            self._publish()
        return len(pending)

    def close(self) -> None:
        """Close the log."""
        self._journal.close()

    def _load(self) -> None:
        base = Base(*(np.load(self._folder / f"{name}.npy") for name in ARRAYS))
        self._supervoxel_count = int(np.searchsorted(layers_of(base.ids), 2))
        self._edge_count = int((base.areas > 0).sum())
        minter = Minter(self.layout, self.table)
        minter.observe(base.ids)
        self._supervoxels = SupervoxelIndex(self.layout, base.ids[: self._supervoxel_count])
        self._forest = Forest(self.layout, base, minter)
        self._history = History(base, self._forest.ids, self.birth_ms)
        first = self._supervoxel_count
        self._row_of = dict(zip(base.ids[first:].tolist(), range(first, len(base.ids)), strict=True))
        self._answered_ms = self._journal.mark("answered_ms")
        self._operations: list[Operation] = []
        self._replay(minter)

    def _replay(self, minter: Minter) -> None:
        self._pending: deque[Pending] = deque()
        made: list[int] = []
        for entry in self._journal.entries():
            for node in entry.nodes:
                self._forest.adopt(node)
                made.append(node.id)
            self._enlist(entry)
            old = np.array([self._row_of[root] for root in entry.operation.old_roots], np.int64)
            self._pending.append(Pending(entry, old))
        minter.observe(np.array(made, np.uint64))
        self._publish()

    def _enlist(self, entry: Entry) -> None:
        self._operations.append(entry.operation)
        self._row_of.update((node.id, node.row) for node in entry.nodes)

    def _publish(self) -> None:
        due: list[Pending] = []
        now = times.now_ms()
        while self._pending and self._pending[0].entry.operation.visible_ms <= now:
            due.append(self._pending.popleft())
        self._history.record([item.entry for item in due], [item.old_roots for item in due])
        self._view = self._history.view()

    def _last_time(self) -> int:
        return self._operations[-1].time_ms if self._operations else self.birth_ms

    def _apply(self, edit: WorldEdit, force: bool, visible_ms: int) -> Pending:
        self._check_time(edit, force)
        try:
            change = self._change(edit)
        except ServiceError as problem:
            raise Conflict(f"edit {edit.place} of the world: {problem}") from problem
        result = self._forest.rewire(change.added, change.removed)
        ids = self._forest.ids.values
        operation = Operation(
            id=len(self._operations) + 1,
            time_ms=edit.time_ms,
            log_ms=edit.time_ms + self.visibility_delay_ms,
            visible_ms=visible_ms,
            kind=edit.kind,
            user_id=0,
            world_edit=edit.place,
            old_roots=_ids(ids, result.old_roots),
            new_roots=_ids(ids, result.new_roots),
            added=_ids(ids, change.added.ravel()),
            removed=_ids(ids, change.removed.ravel()),
        )
        entry = Entry(operation, result.nodes)
        self._enlist(entry)
        return Pending(entry, result.old_roots)

    def _change(self, edit: WorldEdit) -> edits.EdgeChange:
        if edit.kind == "merge":
            first, second = self._known([edit.first, edit.second])
            return edits.merge(self._forest, int(first), int(second))
        return edits.split_off(self._forest, self._known(edit.leaving), int(self._known([edit.first])[0]))

    def _known(self, supervoxels: Sequence[int]) -> Rows:
        ids = np.array(supervoxels, np.uint64)
        rows = self._supervoxels.rows(ids)
        if (rows < 0).any():
            raise Conflict(f"supervoxel {ids[rows < 0][0]} is not in the graph")
        return rows

    def _check_time(self, edit: WorldEdit, force: bool) -> None:
        moment = times.to_datetime(edit.time_ms).isoformat()
        if edit.time_ms < self._last_time():
            raise Conflict(f"edit {edit.place} of {moment} is older than the graph or the edit before it")
        if not force and self._answered_ms is not None and edit.time_ms <= self._answered_ms:
            answered = times.to_datetime(self._answered_ms).isoformat()
            raise Conflict(
                f"edit {edit.place} of {moment} would change what was answered about {answered}: ask about explicit, "
                'earlier moments before editing, or send "force": true'
            )


def _ids(ids: Ids, rows: np.ndarray) -> tuple[int, ...]:
    return tuple(ids[rows].tolist())


def _write(folder: Path, base: Base, about: dict[str, str | int]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    for name in ARRAYS:
        np.save(building / f"{name}.npy", getattr(base, name))
    (building / "graph.json").write_text(json.dumps(about))
    if folder.exists():
        shutil.rmtree(folder)
    building.rename(folder)
