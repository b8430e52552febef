"""The log of edits as the service tells it: by operation, by root, by user."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from localcave import times
from localcave.errors import BadRequest
from localcave.graph import Graph
from localcave.ids import Ids
from localcave.journal import Operation
from localcave.lineage import Lineage
from localcave.nodes import Nodes

SUCCESS = 0

Frame = dict[str, list[Any]]  # a table by columns


@dataclass(frozen=True)
class People:
    """Names and affiliations of users by number, as text."""

    names: Mapping[int, str]
    affiliations: Mapping[int, str]


def to_json(frame: Frame) -> str:
    """Return a table the way pandas writes a DataFrame: by column, then by row number."""
    columns = {name: {str(row): value for row, value in enumerate(values)} for name, values in frame.items()}
    return json.dumps(columns)


def details(operation: Operation) -> dict[str, Any]:
    """Return an operation as `operation_details` tells it."""
    said, moment = operation.details, str(times.to_datetime(operation.time_ms))
    found: dict[str, Any] = {
        "user": str(operation.user_id),
        "roots": np.array(operation.new_roots, np.uint64),
        "source_coords": [list(voxel) for voxel in said.source_coords],
        "sink_coords": [list(voxel) for voxel in said.sink_coords],
        "source_ids": np.array(said.source_ids, np.uint64),
        "sink_ids": np.array(said.sink_ids, np.uint64),
        "bb_offset": list(said.box_margin),
        "operation_status": SUCCESS,
        "operation_ts": moment,
        "timestamp": moment,
    }
    if said.undoes is not None:
        found["undo_operation_id"] = said.undoes
    if said.redoes is not None:
        found["redo_operation_id"] = said.redoes
    # A merge is known by its added edges alone.
    kind, edges = ("added_edges", operation.added) if operation.is_merge else ("removed_edges", operation.removed)
    return {**found, kind: np.array(edges, np.uint64).reshape(-1, 2)}


class ChangeLog:
    """The visible log of one graph."""

    def __init__(self, graph: Graph, nodes: Nodes, people: People) -> None:
        self._graph, self._nodes, self._people = graph, nodes, people
        self._lineage = Lineage(graph)
        self._operations = graph.view().operations

    def operations(self, numbers: Iterable[int]) -> dict[str, dict[str, Any]]:
        """Return the details of some operations; unknown numbers are left out."""
        count = len(self._operations)
        return {str(number): details(self._operations[number - 1]) for number in numbers if 1 <= number <= count}

    def of_root(self, root: int, *, filtered: bool, until_ms: int) -> dict[str, Any]:
        """Return the counts of merges and splits that led to a root, by user too."""
        made = [op for op in self._makers(root, filtered) if op.time_ms <= until_ms]
        by_user: dict[str, Counter[str]] = {}
        for op in made:
            by_user.setdefault(str(op.user_id), Counter())["n_mergers" if op.is_merge else "n_splits"] += 1
        merges = sum(op.is_merge for op in made)
        return {
            "n_mergers": merges,
            "n_splits": len(made) - merges,
            "user_info": {user: {"n_splits": 0, "n_mergers": 0, **counts} for user, counts in by_user.items()},
            "operations_ids": [op.id for op in made],
            "past_ids": np.array(self._lineage.ancestors(root), np.uint64),
        }

    def merges_of(self, root: int) -> dict[str, Any]:
        """Return the edges of every merge that led to a root, and where its points were."""
        made = [op for op in self._lineage.makers(root) if op.is_merge]
        return {
            "merge_edges": [np.array(op.added, np.uint64).reshape(-1, 2) for op in made],
            "merge_edge_coords": [[list(op.details.source_coords), list(op.details.sink_coords)] for op in made],
        }

    def table_of(self, root: int, *, filtered: bool) -> Frame:
        """Return the edits that led to a root; unfiltered with whether they still concern it."""
        members = self._nodes.leaves(root)
        made = self._lineage.makers(root)
        inside = {op.id: _touches(op, members) for op in made}
        relevant = {op.id: inside[op.id] and (not op.is_merge or _within(op, members)) for op in made}
        shown = [op for op in made if relevant[op.id] or not filtered]
        frame = _table(shown)
        frame["user_id"] = [str(op.user_id) for op in shown]
        frame["before_root_ids"] = [list(op.old_roots) for op in shown]
        frame["after_root_ids"] = [list(op.new_roots) for op in shown]
        frame["is_merge"] = [op.is_merge for op in shown]
        if not filtered:
            frame["in_neuron"] = [inside[op.id] for op in shown]
            frame["is_relevant"] = [relevant[op.id] for op in shown]
        if shown:
            frame["user_name"] = [self._people.names.get(op.user_id, "unknown") for op in shown]
            frame["user_affiliation"] = [self._people.affiliations.get(op.user_id, "") for op in shown]
        return frame

    def recent(self, start_ms: int, end_ms: int) -> Frame:
        """Return the edits of a window, both ends included."""
        shown = [op for op in self._operations if start_ms <= op.time_ms <= end_ms]
        frame = _table(shown)
        frame["user_id"] = [str(op.user_id) for op in shown]
        frame["is_merge"] = [op.is_merge for op in shown]
        return frame

    def of_user(self, user_id: int | None, start_ms: int, end_ms: int, *, undone: bool) -> Frame:
        """Return the edits of a user, or of all, in a window; without undone ones as the log now stands."""
        gone = set() if undone else self._undone()
        chosen = (op for op in self._operations if start_ms <= op.time_ms <= end_ms and op.id not in gone)
        shown = [op for op in chosen if user_id is None or op.user_id == user_id]
        return {**_table(shown), "user_id": [str(op.user_id) for op in shown]}

    def lines(self) -> list[tuple[int, str, str, str]]:
        """Return user, action, new roots and moment of every edit."""
        return [
            (
                op.user_id,
                "merge" if op.is_merge else "split",
                " ".join(map(str, op.new_roots)),
                str(times.to_datetime(op.time_ms)),
            )
            for op in self._operations
        ]

    def last_edit_ms(self, root: int) -> int:
        """Return when a root was made."""
        self._lineage.graph([root], self._graph.birth_ms, self._graph.birth_ms)
        maker = self._graph.maker(root, self._graph.view())
        return self._graph.birth_ms if maker is None else maker.time_ms

    def _makers(self, root: int, filtered: bool) -> Sequence[Operation]:
        made = self._lineage.makers(root)
        if not filtered:
            return made
        members = self._nodes.leaves(root)
        return [op for op in made if _touches(op, members) and (not op.is_merge or _within(op, members))]

    def _undone(self) -> set[int]:
        gone: set[int] = set()
        for op in self._operations:
            if op.details.undoes is not None:
                gone |= {op.details.undoes, op.id}
            if op.details.redoes is not None:
                gone.discard(op.details.redoes)
                gone.add(op.id)
        return gone


def operation_numbers(text: str | None) -> list[int]:
    """Return the operations that a query string lists as JSON."""
    try:
        found = json.loads(text or "")
        return [int(number) for number in found]
    except (ValueError, TypeError):
        raise BadRequest("operation_ids must be a JSON list of numbers, such as [1, 2]") from None


def _table(operations: Sequence[Operation]) -> Frame:
    return {"operation_id": [op.id for op in operations], "timestamp": [op.time_ms for op in operations]}


def _edges(operation: Operation) -> tuple[int, ...]:
    return operation.added if operation.is_merge else operation.removed


def _touches(operation: Operation, members: Ids) -> bool:
    return bool(np.isin(np.array(_edges(operation), np.uint64), members).any())


def _within(operation: Operation, members: Ids) -> bool:
    return bool(np.isin(np.array(_edges(operation), np.uint64), members).all())
