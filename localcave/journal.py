"""The operation log of one table, append-only, in SQLite: what an edit did is written before anybody is told.

The nodes that an edit made are kept whole, so that a restart reads ids back instead of minting them again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from localcave.forest import NewNode

LAYOUT = """
CREATE TABLE IF NOT EXISTS operations (
    id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, log_ms INTEGER NOT NULL, visible_ms INTEGER NOT NULL,
    kind TEXT NOT NULL, user_id INTEGER NOT NULL, world_edit INTEGER, details TEXT NOT NULL,
    old_roots BLOB NOT NULL, new_roots BLOB NOT NULL, added BLOB NOT NULL, removed BLOB NOT NULL,
    areas BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS nodes (
    row INTEGER PRIMARY KEY, id INTEGER NOT NULL, operation_id INTEGER NOT NULL, children BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

LISTS = ("old_roots", "new_roots", "added", "removed", "areas")

Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class Details:
    """What a user said and what it means for the log: supervoxels and voxels of the marked points, the margin
    of the box looked at (voxels), and the operation that this one undoes or does again.
    """

    source_ids: tuple[int, ...] = ()
    sink_ids: tuple[int, ...] = ()
    source_coords: tuple[Voxel, ...] = ()
    sink_coords: tuple[Voxel, ...] = ()
    box_margin: Voxel = (0, 0, 0)
    undoes: int | None = None
    redoes: int | None = None


@dataclass(frozen=True)
class Operation:
    """One edit in the log.

    `time_ms` is when it happened (the time of its roots), `log_ms` when it counts as written to the log,
    `visible_ms` the clock's time from which on readers see it. `kind` is merge or split; for an undo the kind
    of what it does. `world_edit` is its place in the world folder's history, counted from 1, if it came from
    there. `added` and `removed` are pairs of supervoxel ids, flat; `areas` has the contact area of each added
    pair.
    """

    id: int
    time_ms: int
    log_ms: int
    visible_ms: int
    kind: str
    user_id: int
    world_edit: int | None
    details: Details
    old_roots: tuple[int, ...]
    new_roots: tuple[int, ...]
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    areas: tuple[int, ...] = ()

    @property
    def is_merge(self) -> bool:
        """Whether it joined things."""
        return self.kind == "merge"


@dataclass(frozen=True)
class Entry:
    """An operation and the nodes it made."""

    operation: Operation
    nodes: tuple[NewNode, ...]


class Journal:
    """The log file of one table. One writer at a time; the graph's locks see to that."""

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # NORMAL: a killed process loses nothing, which is what is promised; only a power cut may.
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = NORMAL")
        self._base.executescript(LAYOUT)

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries, all or none."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                self._insert(entry)
            self._base.execute("COMMIT")
        finally:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")

    def entries(self) -> Iterator[Entry]:
        """Yield everything written, oldest first."""
        nodes = self._base.cursor().execute("SELECT operation_id, row, id, children FROM nodes ORDER BY row")
        pending = nodes.fetchone()
        for values in self._base.cursor().execute("SELECT * FROM operations ORDER BY id"):
            number, time_ms, log_ms, visible_ms, kind, user, place, details, *blobs = values
            old, new, added, removed, areas = map(_from_blob, blobs)
            head = (number, time_ms, log_ms, visible_ms, kind, user, place, _details(details))
            operation = Operation(*head, old, new, added, removed, areas)
            made = []
            while pending is not None and pending[0] == operation.id:
                made.append(NewNode(pending[1], pending[2], np.frombuffer(pending[3], "<i4")))
                pending = nodes.fetchone()
            yield Entry(operation, tuple(made))

    def clear(self) -> None:
        """Forget everything."""
        self._base.executescript("BEGIN; DELETE FROM operations; DELETE FROM nodes; DELETE FROM marks; COMMIT;")

    def mark(self, name: str) -> int | None:
        """Return a number kept under a name."""
        found = self._base.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def set_mark(self, name: str, value: int) -> None:
        """Keep a number under a name."""
        self._base.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.OperationalError):  # a reader in another thread may still be at it
            self._base.close()

    def _insert(self, entry: Entry) -> None:
        op = entry.operation
        plain = (op.id, op.time_ms, op.log_ms, op.visible_ms, op.kind, op.user_id, op.world_edit)
        lists = (_to_blob(getattr(op, name)) for name in LISTS)
        details = json.dumps(asdict(op.details))
        self._base.execute("INSERT INTO operations VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", (*plain, details, *lists))
        rows = [(n.row, n.id, op.id, n.children.tobytes()) for n in entry.nodes]
        self._base.executemany("INSERT INTO nodes VALUES (?,?,?,?)", rows)


def _to_blob(ids: Sequence[int]) -> bytes:
    return np.array(ids, "<u8").tobytes()


def _from_blob(blob: bytes) -> tuple[int, ...]:
    return tuple(np.frombuffer(blob, "<u8").tolist())


def _details(text: str) -> Details:
    found = json.loads(text)
    return Details(
        source_ids=tuple(found["source_ids"]),
        sink_ids=tuple(found["sink_ids"]),
        source_coords=_voxels(found["source_coords"]),
        sink_coords=_voxels(found["sink_coords"]),
        box_margin=_voxels([found["box_margin"]])[0],
        undoes=found["undoes"],
        redoes=found["redoes"],
    )


def _voxels(listed: list[list[int]]) -> tuple[Voxel, ...]:
    return tuple((x, y, z) for x, y, z in listed)
