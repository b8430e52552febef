"""What stands under nodes, what stands over them, and which of their parts touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from localcave.errors import BadRequest, Unanswerable
from localcave.forest import places_in
from localcave.graph import Graph
from localcave.ids import ChunkBox, Ids, Rows, layers_of
from localcave.points import Finder, Mark
from localcave.state import State

Bounds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Subgraph:
    """Edges between supervoxels: id pairs (m, 2), affinities, and contact areas in voxel faces."""

    nodes: Ids
    affinities: list[float]
    areas: list[int]


@dataclass(frozen=True)
class Path:
    """Level-2 nodes in order, and the middle of each one's chunk in nanometers."""

    nodes: Ids
    centers: list[list[float]]


class Nodes:
    """Questions about the nodes of one graph."""

    def __init__(self, graph: Graph, finder: Finder, chunk: int, resolution: Sequence[float]) -> None:
        self._graph, self._finder, self._chunk = graph, finder, chunk
        self._resolution = np.array(resolution, np.float64)

    def children(self, node: int) -> Ids:
        """Return the children of a node; none for a supervoxel."""
        row = self._row(node)
        return self._graph.present(lambda state: state.forest.tree.ids.values[state.forest.tree.children(row)])

    def leaves(self, node: int, bounds: Bounds | None = None, stop_layer: int = 1) -> Ids:
        """Return the supervoxels under a node, or its first descendants at or below a layer."""
        row, box = np.array([self._row(node)]), self.box(bounds)

        def look(state: State) -> Ids:
            tree = state.forest.tree
            found = tree.ids.values[tree.down_to(row, max(stop_layer, 1), box)[0]]
            return found if box is None else found[box.meets(state.layout, found)]

        return self._graph.present(look)

    def subgraph(self, node: int, bounds: Bounds | None = None) -> Subgraph:
        """Return the contacts between the supervoxels of a node, whether they hold it together now or not."""
        numbers, _, state = self._edges(node, bounds, among=1)
        areas = state.forest.edges.areas(numbers)
        touching = areas > 0
        ids = state.forest.tree.ids.values[state.forest.edges.ends(numbers[touching])]
        return Subgraph(ids, [1.0] * int(touching.sum()), areas[touching].tolist())

    def second_layer(self, node: int, bounds: Bounds | None = None) -> Ids:
        """Return the (m, 2) pairs of level-2 nodes under a node that an edge joins."""
        _, pairs, state = self._edges(node, bounds, among=2)
        apart = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
        found: Ids = state.forest.tree.ids.values[apart]
        return found

    def chunk_children(self, chunk: int, at_ms: int) -> Ids:
        """Return (n, 2): each level-2 node of a chunk at a moment with each of its supervoxels."""
        if chunk >> 56 != 2:
            raise BadRequest(f"{chunk} is no chunk of layer 2")
        layout, view = self._graph.layout, self._graph.answer_about(at_ms)
        prefix = layout.coordinates(np.array([chunk], np.uint64), 2)
        low = _packed(layout.spatial_bits(1), prefix[0]) << layout.segment_bits(1)
        first, last = np.searchsorted(
            view.ids[: self._graph.supervoxel_count], np.array([low, low + (1 << layout.segment_bits(1))], np.uint64)
        )
        rows = np.arange(first, last)
        parents = view.climb(rows, at_ms, 2)
        held = parents >= 0
        return np.stack([view.ids[parents[held]], view.ids[rows[held]]], axis=1)

    def covering(self, nodes: Ids, at_ms: int) -> Ids:
        """Return the fewest nodes that stand over exactly what some nodes stand over."""
        view = self._graph.answer_about(at_ms)
        kept = np.unique(self._graph.rows(nodes, view))
        if len(kept) and kept[0] < 0:
            raise Unanswerable(f"node {nodes[self._graph.rows(nodes, view) < 0][0]} is unknown")
        counts = lambda rows: self._graph.present(lambda state: state.forest.tree.child_counts(rows))  # noqa: E731
        while True:
            parents = view.parents(kept, at_ms)
            over, held = np.unique(parents[parents >= 0], return_counts=True)
            full = over[held == counts(over)]
            if not len(full):
                return view.ids[kept]
            kept = np.union1d(kept[~np.isin(parents, full)], full)

    def path(self, start: Mark, end: Mark) -> Path:
        """Return the shortest way between two points through level-2 nodes that touch."""
        view = self._graph.view()
        ends = np.array([self._finder.spot(mark).row for mark in (start, end)])
        second = view.climb(ends, self._graph.clock.now_ms(), 2)
        roots = view.climb(ends, self._graph.clock.now_ms(), self._graph.layout.layers)
        if roots[0] != roots[1]:
            raise BadRequest("the two points belong to different objects")
        members, pairs = self._second_layer_of(int(roots[0]))
        way = _shortest(members, pairs, int(second[0]), int(second[1]))
        ids = view.ids[way]
        middles = (self._graph.layout.coordinates(ids, 2) + 0.5) * self._chunk * self._resolution
        return Path(ids, middles.tolist())

    def box(self, bounds: Bounds | None) -> ChunkBox | None:
        """Return the chunks that share space with bounds."""
        if bounds is None:
            return None
        low, high = bounds[:, 0] // self._chunk, np.maximum(bounds[:, 1] - 1, bounds[:, 0]) // self._chunk
        return ChunkBox(tuple(low.tolist()), tuple(high.tolist()))

    def _row(self, node: int) -> int:
        row = self._graph.row(node, self._graph.view()) if 0 <= node < 1 << 64 else -1
        if row < 0:
            raise Unanswerable(f"node {node} is unknown")
        return row

    def _second_layer_of(self, root: int) -> tuple[Rows, Rows]:
        def look(state: State) -> tuple[Rows, Rows]:
            members, _ = state.forest.tree.down_to(np.array([root]), 2)
            return members, _joined(state, np.array([root]), None, among=2)[1]

        return self._graph.present(look)

    def _edges(self, node: int, bounds: Bounds | None, among: int) -> tuple[Rows, Rows, State]:
        row, box = np.array([self._row(node)]), self.box(bounds)
        return self._graph.present(lambda state: (*_joined(state, row, box, among), state))


def _joined(state: State, node: Rows, box: ChunkBox | None, among: int) -> tuple[Rows, Rows]:
    """Return the edges under a node, and their (m, 2) ends as rows of the layer they are wanted among.

    A present root shows the edges that hold it together; any other node every edge it ever had, as who cut
    them and when is told by the log.
    """
    tree, edges = state.forest.tree, state.forest.edges
    tops, passed = tree.down_to(node, among, box)
    members, owners = tops, tops
    if among > 1:
        low = layers_of(tree.ids.values[tops]) > 1
        counts = tree.child_counts(tops[low])
        members, owners = tree.children_of(tops[low]), np.repeat(tops[low], counts)
        passed = np.concatenate([passed, tops[low]])
        order = np.argsort(members)
        members, owners = members[order], owners[order]
    chunks = np.unique(state.layout.chunk_of(tree.ids.values[passed])).tolist()
    identity = int(tree.ids.values[node[0]])
    present = identity >> 56 == state.layout.layers and identity not in state.retired_by
    numbers = edges.active_in(chunks) if among > 1 and present else edges.meeting_in(chunks)
    ends = places_in(members, edges.ends(numbers))
    inside = (ends >= 0).all(axis=1)
    return numbers[inside], owners[ends[inside]]


def _shortest(members: Rows, pairs: Rows, start: int, end: int) -> Rows:
    places = places_in(members, pairs)
    size = (len(members),) * 2
    links = coo_array((np.ones(len(places), np.int8), (places[:, 0], places[:, 1])), shape=size).tocsr()
    first, last = places_in(members, np.array([start, end]))
    _, before = breadth_first_order(links, first, directed=False)
    way = [int(last)]
    while way[-1] != first:
        if before[way[-1]] < 0:
            raise Unanswerable("no way leads from one point to the other")
        way.append(int(before[way[-1]]))
    return members[way[::-1]]


def _packed(bits: int, chunk: npt.NDArray[np.int64]) -> int:
    x, y, z = chunk.tolist()
    return ((((1 << bits) | x) << bits) | y) << bits | z
