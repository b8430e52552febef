"""One table's chunkedgraph: it answers about any moment and takes edits one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from localcave import times
from localcave.clock import Clock
from localcave.edgetable import EdgeChange
from localcave.errors import Conflict
from localcave.forest import Rewiring
from localcave.history import View
from localcave.ids import IdLayout, Ids, Rows
from localcave.journal import Details, Entry, Journal, Operation
from localcave.state import Pending, State

Answer = TypeVar("Answer")

NOW_MS = 1000  # a question no older than this is taken to be about now
AHEAD_MS = 250  # how far ahead the mark of the answered moment is written, to write it seldom


@dataclass(frozen=True)
class Draft:
    """An edit to be made: what changes, who wants it, and the moment it carries (none: now)."""

    change: EdgeChange
    kind: str
    user_id: int = 0
    time_ms: int | None = None
    world_edit: int | None = None
    details: Details = field(default_factory=Details)


Step = Callable[[State], Draft]


class Graph:
    """A chunkedgraph in a folder."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder = folder
        self.clock = clock or Clock()
        self._editing = threading.RLock()
        # Held for a moment only: whoever is told about a moment, and whoever dates an edit, must not overlap.
        self._moment = threading.RLock()
        self._journal = Journal(folder / "journal.sqlite")
        self._answered_ms: int | None = None
        self._remembered_ms: int | None = None
        self._load()

    def view(self) -> View:
        """Return the history as far as it is visible now."""
        if self._state.due(self.clock.now_ms()):
            with self._moment:
                self._state.publish(self.clock.now_ms())
        return self._state.view

    def answer_about(self, at_ms: int) -> View:
        """Return the view that a question about roots at a moment is answered from.

        No later edit carries that moment or an earlier one, unless forced. A moment yet to come promises
        nothing beyond now.
        """
        with self._moment:
            now = self.clock.now_ms()
            settled = min(at_ms, max(now, self._state.last_time()))
            if self._answered_ms is None or settled > self._answered_ms:
                self._answered_ms = settled
                self._remember(settled, AHEAD_MS if settled > now - NOW_MS else 0)
            return self.view()

    def rows(self, ids: Ids, view: View) -> Rows:
        """Return the row of each id of any layer, -1 for what the view does not know."""
        found = self._state.rows(ids)
        found[found >= len(view.created_ms)] = -1
        return found

    def row(self, identity: int, view: View) -> int:
        """Return the row of one id, -1 where the view does not know it."""
        return int(self.rows(np.array([identity], np.uint64), view)[0])

    def maker(self, root: int, view: View) -> Operation | None:
        """Return the visible operation that made a root."""
        return _visible(self._state.made_by.get(root), view)

    def retirer(self, root: int, view: View) -> Operation | None:
        """Return the visible operation that replaced a root."""
        return _visible(self._state.retired_by.get(root), view)

    @property
    def table(self) -> str:
        """The table's name."""
        return self._state.about.table

    @property
    def birth_ms(self) -> int:
        """The moment from which on the graph answers."""
        return self._state.about.birth_ms

    @property
    def layout(self) -> IdLayout:
        """The bits of its ids."""
        return self._state.layout

    @property
    def supervoxel_count(self) -> int:
        """The number of supervoxels."""
        return self._state.supervoxel_count

    @property
    def edge_count(self) -> int:
        """The number of edges at birth, without virtual ones."""
        return self._state.edge_count

    @property
    def root_count(self) -> int:
        """The number of objects now."""
        return self._state.roots_at_birth + len(self._state.made_by) - len(self._state.retired_by)

    @property
    def operation_count(self) -> int:
        """The number of edits, visible or not."""
        return len(self._state.operations)

    @property
    def world_edits(self) -> int:
        """How many edits of the world folder were applied."""
        return max((op.world_edit or 0 for op in self._state.operations), default=0)

    @property
    def answered_ms(self) -> int | None:
        """The newest moment about which a question on roots was answered."""
        return self._answered_ms

    def present(self, question: Callable[[State], Answer]) -> Answer:
        """Return the answer to a question about the present trees, which no edit disturbs meanwhile."""
        with self._editing:
            return question(self._state)

    def edit(self, steps: Iterable[Step], *, force: bool = False, delay_ms: int = 0) -> list[Operation]:
        """Make edits one after another, all or none, to be seen together; return those that changed anything.

        Each step drafts its edit from the state the one before it left. A draft with a moment of its own must
        not be older than what was told already, unless forced. With a delay readers see the edits so much
        later.
        """
        with self._editing:
            done: list[tuple[Draft, Rewiring]] = []
            last = self._state.last_time()
            try:
                for step in steps:
                    draft = step(self._state)
                    self._check(draft, last, force)
                    last = draft.time_ms or last
                    if not draft.change.empty:
                        done.append((draft, self._state.forest.rewire(draft.change)))
                with self._moment:
                    return self._commit(done, force, delay_ms)
            except BaseException:
                if done:
                    self._load()  # the trees were changed in place
                raise

    def reset(self) -> None:
        """Forget every edit; the ids they made may be made again."""
        with self._editing, self._moment:
            self._journal.clear()
            self._load()

    def close(self) -> None:
        """Close the log."""
        with self._editing, self._moment:
            self._journal.close()

    def _load(self) -> None:
        with self._moment:
            self._state = State(self.folder, self._journal, self.clock.now_ms())
            self._answered_ms = self._remembered_ms = self._journal.mark("answered_ms")

    def _remember(self, settled: int, ahead: int) -> None:
        if self._remembered_ms is None or settled > self._remembered_ms:
            self._remembered_ms = settled + ahead
            self._journal.set_mark("answered_ms", self._remembered_ms)

    def _commit(self, done: list[tuple[Draft, Rewiring]], force: bool, delay_ms: int) -> list[Operation]:
        now, last = self.clock.now_ms(), self._state.last_time()
        pending = []
        for number, (draft, made) in enumerate(done, start=len(self._state.operations) + 1):
            self._check(draft, draft.time_ms or 0, force)
            last = max(now, last + 1, (self._answered_ms or 0) + 1) if draft.time_ms is None else draft.time_ms
            operation = self._operation(number, draft, made, last, now + delay_ms if delay_ms else 0, delay_ms)
            pending.append(Pending(Entry(operation, made.nodes), made.old_roots))
        self._journal.append(item.entry for item in pending)
        for item in pending:
            self._state.enlist(item)
        self._state.publish(now)
        return [item.entry.operation for item in pending]

    def _operation(
        self, number: int, draft: Draft, made: Rewiring, time_ms: int, visible_ms: int, delay_ms: int
    ) -> Operation:
        ids = self._state.forest.tree.ids.values
        return Operation(
            id=number,
            time_ms=time_ms,
            log_ms=time_ms + delay_ms,
            visible_ms=visible_ms,
            kind=draft.kind,
            user_id=draft.user_id,
            world_edit=draft.world_edit,
            details=draft.details,
            old_roots=tuple(ids[made.old_roots].tolist()),
            new_roots=tuple(ids[made.new_roots].tolist()),
            added=tuple(ids[draft.change.added.ravel()].tolist()),
            removed=tuple(ids[draft.change.removed.ravel()].tolist()),
            areas=tuple(draft.change.areas.tolist()),
        )

    def _check(self, draft: Draft, last: int, force: bool) -> None:
        if draft.time_ms is None:
            return
        moment = times.to_datetime(draft.time_ms).isoformat()
        name = f"edit {draft.world_edit}" if draft.world_edit else "the edit"
        if draft.time_ms < last:
            raise Conflict(f"{name} of {moment} is older than the graph or the edit before it")
        if not force and self._answered_ms is not None and draft.time_ms <= self._answered_ms:
            answered = times.to_datetime(self._answered_ms).isoformat()
            raise Conflict(
                f"{name} of {moment} would change what was answered about {answered}: ask about explicit, "
                'earlier moments before editing, or send "force": true'
            )


def _visible(operation: Operation | None, view: View) -> Operation | None:
    return operation if operation is not None and operation.id <= view.operation_count else None
