"""What a chunkedgraph answers about ids and moments, with the odd rules of the real service.

`strict` turns the rules off that are plainly bugs; each function says which.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.errors import BadRequest, Unanswerable
from localcave.graph import Graph
from localcave.history import View
from localcave.ids import Ids, Rows, layers_of

TABLES_KEPT = 4


@dataclass(frozen=True)
class RootQuestion:
    """Options of a root look-up: the moment, the layer to stop at, and what to do about ids without a root."""

    at_ms: int
    stop_layer: int | None = None
    assert_roots: bool = False
    fail_to_zero: bool = False


class RootTables:
    """Root of every supervoxel at a few recent moments; one moment is asked about millions of times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._tables: OrderedDict[tuple[int, int], npt.NDArray[np.int32]] = OrderedDict()

    def climb(self, view: View, rows: Rows, at_ms: int, layers: int, supervoxels: int) -> Rows:
        """Return the root rows of nodes, -1 where there is none."""
        table = self._table(view, at_ms, layers, supervoxels, len(rows))
        if table is None or rows.max(initial=-1) >= supervoxels:
            return view.climb(rows, at_ms, layers)
        return np.where(rows >= 0, table[rows], -1)

    def _table(self, view: View, at_ms: int, layers: int, supervoxels: int, asked: int) -> npt.NDArray[np.int32] | None:
        key = (at_ms, view.operation_count)
        with self._lock:
            if key in self._tables:
                return self._tables[key]
            if not self._worth_it(key, asked, supervoxels):
                return None
        table = view.climb(np.arange(supervoxels), at_ms, layers).astype(np.int32)
        with self._lock:
            self._tables[key] = table
            while len(self._tables) > TABLES_KEPT:
                self._tables.popitem(last=False)
        return table

    def _worth_it(self, key: tuple[int, int], count: int, supervoxels: int) -> bool:
        self._asked[key] = self._asked.pop(key, 0) + count
        while len(self._asked) > 16 * TABLES_KEPT:
            self._asked.popitem(last=False)
        return self._asked[key] >= supervoxels


class Queries:
    """Questions to one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.strict = False
        self._tables = RootTables()

    def roots(self, ids: Ids, question: RootQuestion) -> Ids:
        """Return the ancestor of each id at or above the stop layer, by default the root.

        An id already that high is returned unchanged, whether it ever lived or not. An id without a parent at
        that moment gives 0, but if no id of the batch has one, the batch itself comes back (not when strict,
        nor with `fail_to_zero`).
        """
        layers = self.graph.layout.layers
        stop = question.stop_layer or layers
        if stop > layers:
            raise Unanswerable(f"stop_layer {stop} is above the {layers} layers of the graph")
        view, answer = self.graph.answer_about(question.at_ms), ids.copy()
        low = np.flatnonzero(layers_of(ids) < stop)
        rows = self.graph.rows(ids[low], view)
        found = self._climb(view, rows, question.at_ms, stop)
        if (found >= 0).any() or self.strict or question.fail_to_zero:
            answer[low] = np.where(found >= 0, view.ids[found], np.uint64(0))
        if question.assert_roots and (layers_of(answer) < stop).any():
            raise Unanswerable("some ids have no root at this time")
        return answer

    def is_latest(self, ids: Ids, at_ms: int) -> npt.NDArray[np.bool_]:
        """Return which nodes existed before a moment and had no successor before it.

        At the very millisecond of an edit this still calls the old root the latest, unlike `roots` (not when
        strict). A node between supervoxel and root never gets a successor.
        """
        view = self.graph.answer_about(at_ms)
        rows = self.graph.rows(ids, view)
        known = (rows >= 0) & (layers_of(ids) > 1)
        created, retired = view.created_ms[rows], view.retired_ms[rows]
        if self.strict:
            return known & (created <= at_ms) & (at_ms < retired)
        return known & (created < at_ms) & (at_ms <= retired)

    def created(self, ids: Ids) -> npt.NDArray[np.int64]:
        """Return the creation times of nodes; an empty list when all are unknown, as the real service does."""
        view = self.graph.view()
        rows = self._nodes(ids, view)
        if (rows < 0).all() and not self.strict:
            return np.empty(0, np.int64)
        if (rows < 0).any():
            raise Unanswerable(f"node {ids[rows < 0][0]} is unknown")
        return view.created_ms[rows]

    def latest_times(self, ids: Ids, at_ms: int) -> npt.NDArray[np.int64]:
        """Return for each node the moment asked about if it was latest then, else the time it was replaced."""
        latest = self.is_latest(ids, at_ms)
        view = self.graph.view()
        rows = self._nodes(ids, view)
        # Neither latest nor replaced by then: it did not exist yet.
        unborn = ~latest & ((rows < 0) | (view.retired_ms[rows] >= at_ms + self.strict))
        if unborn.any():
            raise Unanswerable(f"node {ids[unborn][0]} is unknown or not created yet at this time")
        return np.where(latest, at_ms, view.retired_ms[rows])

    def oldest_ms(self) -> int:
        """Return half a second before the first edit, or the birth of a graph that has none (the real service
        fails then).
        """
        view = self.graph.view()
        return view.log[0].time_ms - 500 if view.operation_count else self.graph.birth_ms

    def valid(self, ids: Ids, start_ms: int, end_ms: int) -> Ids:
        """Return which nodes had anything written about them in a window, its end left out: their creation, their
        replacement, or a new parent.
        """
        view = self.graph.view()
        rows = self.graph.rows(ids, view)
        written = [view.created_ms[rows], view.retired_ms[rows], view.first_ms[rows]]
        inside = np.any([(start_ms <= moment) & (moment < end_ms) for moment in written], axis=0)
        later = view.reparented[rows] & (view.parents(rows, end_ms - 1) != view.parents(rows, start_ms - 1))
        return ids[(rows >= 0) & (inside | later)]

    def root(self, identity: int, question: RootQuestion) -> int:
        """Return the ancestor of one id; unlike `roots`, fail where there is none."""
        stop = question.stop_layer or self.graph.layout.layers
        if not 0 <= identity < 1 << 64:
            raise BadRequest(f"{identity} is no 64-bit id")
        answer = int(self.roots(np.array([identity], np.uint64), question)[0])
        if answer >> 56 < stop:
            raise Unanswerable(f"node {identity} has no root at this time")
        return answer

    def _nodes(self, ids: Ids, view: View) -> Rows:
        # A supervoxel has no list of children, hence no time of its own.
        return np.where(layers_of(ids) > 1, self.graph.rows(ids, view), -1)

    def _climb(self, view: View, rows: Rows, at_ms: int, stop: int) -> Rows:
        if stop < self.graph.layout.layers:
            return view.climb(rows, at_ms, stop)
        return self._tables.climb(view, rows, at_ms, stop, self.graph.supervoxel_count)
