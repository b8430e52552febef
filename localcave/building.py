"""The first hierarchy of a graph, from supervoxels, their objects and the edges between them.

Every supervoxel has a parent at layer 2 and, at last, a root at the top layer. In between a node exists only
where at least two nodes of the layers below meet; a node that meets nobody skips the layer, as in
PyChunkedGraph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from localcave.ids import IdLayout, Ids, Minter, Rows

FEW_EDGES = 500


@dataclass(frozen=True)
class Base:
    """A graph at its birth. A node's row is its place in `ids`; the supervoxels come first, sorted.

    Attributes
    ----------
    ids : (n,) uint64
    parents : (n,) int32, the row of each node's parent, -1 for roots
    edges : (m, 2) int32, rows of two supervoxels, the smaller first, sorted by the chunk in which both meet
    areas : (m,) int32, contact area in voxel faces; 0 marks a virtual edge
    chunks : (c,) uint64, sorted prefixes of the chunks in which edges meet
    starts : (c + 1,) int64, where the edges of each chunk start
    """

    ids: Ids
    parents: npt.NDArray[np.int32]
    edges: npt.NDArray[np.int32]
    areas: npt.NDArray[np.int32]
    chunks: Ids
    starts: Rows


def components(count: int, first: Rows, second: Rows) -> Rows:
    """Return the component of each of `count` things joined by edges, numbered by their first member."""
    if len(first) <= FEW_EDGES:
        return _walked(count, first.tolist(), second.tolist())
    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    _, where, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(where), np.int64)
    rank[np.argsort(where)] = np.arange(len(where))
    return rank[inverse]


def _walked(count: int, first: list[int], second: list[int]) -> Rows:
    """Return `components` by union of pairs: with few edges much quicker than building a matrix of them."""
    above = list(range(count))
    for a, b in zip(first, second, strict=True):
        while above[a] != a:
            above[a] = a = above[above[a]]
        while above[b] != b:
            above[b] = b = above[above[b]]
        above[max(a, b)] = min(a, b)
    tops = np.array(above, np.int64)
    while ((higher := tops[tops]) != tops).any():
        tops = higher
    # The smallest member of each is its top, so ranks of tops are numbers by first member.
    return np.cumsum(tops == np.arange(count))[tops] - 1


def joining_edges(groups: npt.NDArray[np.integer], parts: Rows, members: Rows) -> Rows:
    """Return the fewest edges, (k, 2), that make the parts of each group hang together.

    `groups` and `parts` belong to `members` row by row; the parts of a group are chained by their smallest
    members.
    """
    _, firsts = np.unique(parts, return_index=True)
    firsts = firsts[np.lexsort((members[firsts], groups[firsts]))]
    same = groups[firsts[1:]] == groups[firsts[:-1]]
    return np.stack([members[firsts[:-1]][same], members[firsts[1:]][same]], axis=1)


def build(layout: IdLayout, minter: Minter, supervoxels: Ids, objects: Ids, edges: Rows, areas: Rows) -> Base:
    """Build the hierarchy in which each object is one root, whether its parts touch or not."""
    rows = np.arange(len(supervoxels))
    virtual = joining_edges(objects, components(len(rows), edges[:, 0], edges[:, 1]), rows)
    every = np.concatenate([np.sort(edges, axis=1), virtual]).astype(np.int32)
    area = np.concatenate([areas, np.zeros(len(virtual), np.int64)]).astype(np.int32)
    crossing = layout.crossing_layers(supervoxels[every[:, 0]], supervoxels[every[:, 1]])
    climb = _Climb(layout, minter, supervoxels)
    for layer in range(2, layout.layers + 1):
        climb.step(layer, every[crossing == layer])
    meeting = layout.meeting_chunks(supervoxels[every[:, 0]], supervoxels[every[:, 1]])
    order = np.argsort(meeting, kind="stable")
    chunks, starts = np.unique(meeting[order], return_index=True)
    return Base(climb.ids, climb.parents, every[order], area[order], chunks, np.append(starts, len(order)))


class _Climb:
    """The build from layer to layer: which node stands on top of each supervoxel so far."""

    def __init__(self, layout: IdLayout, minter: Minter, supervoxels: Ids) -> None:
        self._layout, self._minter, self._supervoxels = layout, minter, supervoxels
        self.ids = supervoxels
        self.parents = np.full(len(supervoxels), -1, np.int32)
        self._top = np.arange(len(supervoxels))
        self._smallest = np.arange(len(supervoxels))  # a supervoxel of each node

    def step(self, layer: int, edges: npt.NDArray[np.int32]) -> None:
        first, second = self._top[edges[:, 0]], self._top[edges[:, 1]]
        everyone = layer in (2, self._layout.layers)
        pool = np.unique(self._top if everyone else np.concatenate([first, second]))
        labels = components(len(pool), np.searchsorted(pool, first), np.searchsorted(pool, second))
        _, leaders = np.unique(labels, return_index=True)
        self.parents[pool] = len(self.parents) + labels
        self._add(layer, self._smallest[pool[leaders]])
        above = self.parents[self._top]
        self._top = np.where(above >= 0, above, self._top)

    def _add(self, layer: int, smallest: Rows) -> None:
        prefixes = self._layout.prefixes(self._supervoxels[smallest], layer)
        self.ids = np.concatenate([self.ids, self._minter.mint(layer, prefixes)])
        self.parents = np.concatenate([self.parents, np.full(len(smallest), -1, np.int32)])
        self._smallest = np.concatenate([self._smallest, smallest])
