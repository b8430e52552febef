"""The operation log of one table, append-only, in SQLite: what an edit did is written before anybody is told.

The nodes that an edit made are kept whole, so that a restart reads ids back instead of minting them again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from localcave.forest import NewNode

LAYOUT = """
CREATE TABLE IF NOT EXISTS operations (
    id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, log_ms INTEGER NOT NULL, visible_ms INTEGER NOT NULL,
    kind TEXT NOT NULL, user_id INTEGER NOT NULL, world_edit INTEGER,
    old_roots BLOB NOT NULL, new_roots BLOB NOT NULL, added BLOB NOT NULL, removed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS nodes (
    row INTEGER PRIMARY KEY, id INTEGER NOT NULL, operation_id INTEGER NOT NULL, children BLOB NOT NULL, edges
    BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Operation:
    """One edit in the log.

    `time_ms` is when it happened (the time of its roots), `log_ms` when it counts as written to the log,
    `visible_ms` the wall clock from which on readers see it. `world_edit` is its place in the world folder's
    history, counted from 1, if it came from there. `added` and `removed` are pairs of supervoxel ids, flat.
    """

    id: int
    time_ms: int
    log_ms: int
    visible_ms: int
    kind: str
    user_id: int
    world_edit: int | None
    old_roots: tuple[int, ...]
    new_roots: tuple[int, ...]
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


@dataclass(frozen=True)
class Entry:
    """An operation and the nodes it made."""

    operation: Operation
    nodes: tuple[NewNode, ...]


class Journal:
    """The log file of one table. One writer at a time; the graph's lock sees to that."""

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
        nodes = self._base.cursor().execute("SELECT operation_id, row, id, children, edges FROM nodes ORDER BY row")
        pending = nodes.fetchone()
        for values in self._base.cursor().execute("SELECT * FROM operations ORDER BY id"):
            operation = Operation(*values[:7], *map(_from_blob, values[7:]))
            made = []
            while pending is not None and pending[0] == operation.id:
                made.append(_node(*pending[1:]))
                pending = nodes.fetchone()
            yield Entry(operation, tuple(made))

    def mark(self, name: str) -> int | None:
        """Return a number kept under a name."""
        found = self._base.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def set_mark(self, name: str, value: int) -> None:
        """Keep a number under a name."""
        self._base.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def _insert(self, entry: Entry) -> None:
        op = entry.operation
        lists = map(_to_blob, (op.old_roots, op.new_roots, op.added, op.removed))
        plain = (op.id, op.time_ms, op.log_ms, op.visible_ms, op.kind, op.user_id, op.world_edit)
        self._base.execute("INSERT INTO operations VALUES (?,?,?,?,?,?,?,?,?,?,?)", (*plain, *lists))
        rows = [(n.row, n.id, op.id, n.children.tobytes(), n.edges.tobytes()) for n in entry.nodes]
        self._base.executemany("INSERT INTO nodes VALUES (?,?,?,?,?)", rows)


def _to_blob(ids: Sequence[int]) -> bytes:
    return np.array(ids, "<u8").tobytes()


def _from_blob(blob: bytes) -> tuple[int, ...]:
    return tuple(np.frombuffer(blob, "<u8").tolist())


def _node(row: int, identity: int, children: bytes, edges: bytes) -> NewNode:
    return NewNode(row, identity, np.frombuffer(children, "<i4"), np.frombuffer(edges, "<i4").reshape(-1, 2))
