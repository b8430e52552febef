"""How roots came from one another: answers from the operation log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from localcave import times
from localcave.errors import Unanswerable
from localcave.graph import Graph
from localcave.history import View
from localcave.ids import Ids
from localcave.journal import Operation


@dataclass(frozen=True)
class RootDelta:
    """Former and new roots of the operations of a window, as the service lists them: unsorted, with repeats."""

    old_roots: list[int]
    new_roots: list[int]


def delta(view: View, past_ms: int, future_ms: int) -> RootDelta:
    """Return the roots of every operation written to the log in a window, both ends included.

    For each new root its former roots are listed, so that a split names its old root twice.
    """
    inside = [op for op in view.operations if past_ms <= op.log_ms <= future_ms]
    new = [root for op in inside for root in op.new_roots]
    old = [former for op in inside for _ in op.new_roots for former in op.old_roots]
    return RootDelta(old, new)


class Lineage:
    """The log of one view, looked up by root."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._view = graph.view()

    def graph(self, roots: Iterable[int], past_ms: int, future_ms: int) -> dict[str, Any]:
        """Return the ancestors back to `past_ms` and the descendants up to `future_ms` as node-link JSON."""
        given = self._checked(roots)
        links = self._backwards(given, past_ms) | self._forwards(given, future_ms)
        nodes = set(given) | {root for link in links for root in link}
        return {
            "directed": True,
            "multigraph": False,
            "graph": {},
            "nodes": [self._node(root) for root in sorted(nodes)],
            "links": [{"source": np.uint64(a), "target": np.uint64(b)} for a, b in sorted(links)],
        }

    def past_ids(self, roots: Iterable[int], past_ms: int) -> dict[str, dict[str, Any]]:
        """Return each root's ancestors at a moment, and for these the root that only merges led to."""
        past: dict[str, Ids] = {}
        future: dict[str, np.uint64] = {}
        for root in self._checked(roots):
            links = self._backwards([root], past_ms)
            sources = {source for source, _ in links} - {target for _, target in links}
            ancestors = sorted(sources) or [root]
            past[str(root)] = np.array(ancestors, np.uint64)
            reached = {str(ancestor): self._merged_into(ancestor) for ancestor in ancestors}
            future.update({key: np.uint64(value) for key, value in reached.items() if value is not None})
        return {"past_id_map": past, "future_id_map": future}

    def makers(self, root: int) -> list[Operation]:
        """Return every operation that led to a root, oldest first."""
        links = self._backwards(self._checked([root]), self._graph.birth_ms)
        found = {maker.id: maker for _, target in links if (maker := self._maker(target)) is not None}
        return [found[number] for number in sorted(found)]

    def ancestors(self, root: int) -> list[int]:
        """Return every root that led to a root, itself left out."""
        return sorted({source for source, _ in self._backwards(self._checked([root]), self._graph.birth_ms)})

    def _checked(self, roots: Iterable[int]) -> list[int]:
        given = [int(root) for root in roots]
        for root in given:
            if root >> 56 != self._graph.layout.layers or self._graph.row(root, self._view) < 0:
                raise Unanswerable(f"{root} is no root of this graph")
        return given

    def _born(self, root: int) -> int:
        made_by = self._maker(root)
        return self._graph.birth_ms if made_by is None else made_by.time_ms

    def _backwards(self, roots: list[int], past_ms: int) -> set[tuple[int, int]]:
        links: set[tuple[int, int]] = set()
        waiting, seen = list(roots), set(roots)
        while waiting:
            root = waiting.pop()
            operation = self._maker(root)
            if operation is None or operation.time_ms < past_ms:
                continue
            links.update((former, root) for former in operation.old_roots)
            waiting.extend(set(operation.old_roots) - seen)
            seen.update(operation.old_roots)
        return links

    def _forwards(self, roots: list[int], future_ms: int) -> set[tuple[int, int]]:
        links: set[tuple[int, int]] = set()
        waiting, seen = list(roots), set(roots)
        while waiting:
            root = waiting.pop()
            operation = self._retirer(root)
            if operation is None or self._born(root) > future_ms:
                continue
            links.update((root, successor) for successor in operation.new_roots)
            waiting.extend(set(operation.new_roots) - seen)
            seen.update(operation.new_roots)
        return links

    def _merged_into(self, root: int) -> int | None:
        while (operation := self._retirer(root)) is not None:
            if len(operation.new_roots) != 1 or len(operation.old_roots) < 2:
                return None
            root = operation.new_roots[0]
        return root

    def _node(self, root: int) -> dict[str, Any]:
        node: dict[str, Any] = {"id": np.uint64(root), "timestamp": times.to_seconds(self._born(root))}
        if (operation := self._retirer(root)) is not None:
            node["operation_id"] = operation.id
        return node

    def _maker(self, root: int) -> Operation | None:
        return self._graph.maker(root, self._view)

    def _retirer(self, root: int) -> Operation | None:
        return self._graph.retirer(root, self._view)
