"""The present tree of every object, and how an edit of edges changes it.

Nodes are immutable: an edit makes new nodes along the way from the touched supervoxels up to the root, and
leaves every other node under a new parent at most. Each edge is kept once, by the node at the layer where its
two ends first share a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.building import Base, components
from localcave.growing import Growing
from localcave.ids import IdLayout, Minter, Rows, layers_of

Edges = npt.NDArray[np.int32]

NO_EDGES = np.empty((0, 2), np.int32)
NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True)
class NewNode:
    """A node that an edit made: its row, id, the rows of its children, and the edges that meet first in it."""

    row: int
    id: int
    children: npt.NDArray[np.int32]
    edges: Edges


@dataclass(frozen=True)
class Rewiring:
    """What an edit did to the tree: nodes from the lowest layer up, and the rows of roots before and after."""

    nodes: tuple[NewNode, ...]
    old_roots: Rows
    new_roots: Rows


class Grouped:
    """Rows of a table grouped by an owner, found without a search over all of them."""

    def __init__(self, owners: npt.NDArray[np.integer], values: npt.NDArray[np.integer], count: int) -> None:
        order = np.argsort(owners, kind="stable")
        self._values = values[order]
        self._starts = np.searchsorted(owners[order], np.arange(count + 1))

    def of(self, owner: int) -> npt.NDArray[np.integer]:
        """Return the values of one owner."""
        return self._values[self._starts[owner] : self._starts[owner + 1]]


class Forest:
    """The present trees over one graph's supervoxels."""

    def __init__(self, layout: IdLayout, base: Base, minter: Minter) -> None:
        self._layout, self._minter = layout, minter
        self._base = len(base.ids)
        self.ids = Growing(base.ids)
        self.parents = Growing(base.parents.copy())
        self._children = _children_of(base)
        self._edges = Grouped(self._owners(base), base.edges, self._base)
        self._new: dict[int, NewNode] = {}

    def children(self, row: int) -> npt.NDArray[np.integer]:
        """Return the rows of a node's children; none for a supervoxel."""
        return self._children.of(row) if row < self._base else self._new[row].children

    def inner_edges(self, row: int) -> npt.NDArray[np.integer]:
        """Return the (m, 2) edges whose ends first share a chunk in this node."""
        return self._edges.of(row) if row < self._base else self._new[row].edges

    def tops(self, rows: npt.NDArray[np.integer]) -> Rows:
        """Return the topmost node above each node."""
        top, parents = rows.astype(np.int64), self.parents.values
        while (above := parents[top]).max(initial=-1) >= 0:
            top = np.where(above >= 0, above, top)
        return top

    def descend(self, root: int) -> tuple[Rows, Edges]:
        """Return the supervoxels under a node, sorted, and every edge between them."""
        supervoxels: list[npt.NDArray[np.integer]] = []
        edges: list[npt.NDArray[np.integer]] = [NO_EDGES]
        waiting = [root]
        while waiting:
            node = waiting.pop()
            edges.append(self.inner_edges(node))
            children = self.children(node)
            lowest = layers_of(self.ids.values[children]) == 1
            supervoxels.append(children[lowest])
            waiting.extend(children[~lowest].tolist())
        return np.sort(np.concatenate(supervoxels)).astype(np.int64), np.concatenate(edges).astype(np.int32)

    def rewire(self, added: Edges, removed: Edges) -> Rewiring:
        """Add and remove edges (rows of supervoxels, the smaller first) and return what became of the trees."""
        touched = np.unique(np.concatenate([added.ravel(), removed.ravel()]))
        chain = self._chain(touched)
        self._cut_loose(chain)
        layers = layers_of(self.ids.values[chain])
        crossing = self._crossing(added)
        made: list[NewNode] = []
        loose = NO_ROWS
        for layer in range(2, self._layout.layers + 1):
            old = chain[layers == layer]
            pool = np.union1d(loose, np.setdiff1d(self._children_of_all(old), chain))
            edges = _without(self._edges_of_all(old), removed)
            loose, nodes = self._gather(layer, pool, np.concatenate([edges, added[crossing == layer]]))
            made.extend(nodes)
        return Rewiring(tuple(made), chain[layers == self._layout.layers], loose)

    def adopt(self, node: NewNode) -> None:
        """Take in a node that an earlier run has made."""
        self.ids.extend([node.id])
        self.parents.extend([-1])
        self.parents.values[node.children] = node.row
        self._new[node.row] = node

    def _owners(self, base: Base) -> Rows:
        layers = layers_of(base.ids)
        crossing = self._crossing(base.edges)
        owner = base.edges[:, 0].astype(np.int64)
        while (low := layers[owner] < crossing).any():
            owner = np.where(low, base.parents[owner], owner)
        return owner

    def _crossing(self, edges: Edges) -> Rows:
        ids = self.ids.values
        return self._layout.crossing_layers(ids[edges[:, 0]], ids[edges[:, 1]])

    def _chain(self, touched: Rows) -> Rows:
        """Return every node above the touched supervoxels: those that the edit retires."""
        chain, above = [NO_ROWS], touched
        while len(above):
            above = np.unique(self.parents.values[above]).astype(np.int64)
            above = above[above >= 0]
            chain.append(above)
        return np.unique(np.concatenate(chain))

    def _cut_loose(self, chain: Rows) -> None:
        self.parents.values[self._children_of_all(chain)] = -1

    def _children_of_all(self, nodes: Rows) -> Rows:
        return np.concatenate([NO_ROWS, *(self.children(node) for node in nodes.tolist())])

    def _edges_of_all(self, nodes: Rows) -> Edges:
        return np.concatenate([NO_EDGES, *(self.inner_edges(node) for node in nodes.tolist())])

    def _gather(self, layer: int, pool: Rows, edges: Edges) -> tuple[Rows, list[NewNode]]:
        """Join the pool's members by edges; return what has no parent now, and the nodes made."""
        first = np.searchsorted(pool, self.tops(edges[:, 0]))
        labels = components(len(pool), first, np.searchsorted(pool, self.tops(edges[:, 1])))
        sizes = np.bincount(labels, minlength=0)
        kept = np.flatnonzero(sizes >= (1 if layer in (2, self._layout.layers) else 2))
        members = [pool[labels == label].astype(np.int32) for label in kept]
        inner = [edges[labels[first] == label] for label in kept]
        nodes = self._make(layer, members, inner)
        alone = pool[~np.isin(labels, kept)]
        return np.concatenate([alone, np.array([node.row for node in nodes], np.int64)]), nodes

    def _make(self, layer: int, members: list[npt.NDArray[np.int32]], inner: list[Edges]) -> list[NewNode]:
        if not members:
            return []
        samples = np.array([self._sample(int(rows[0])) for rows in members])
        ids = self._minter.mint(layer, self._layout.prefixes(self.ids.values[samples], layer))
        rows = range(len(self.ids), len(self.ids) + len(ids))
        nodes = [NewNode(*parts) for parts in zip(rows, ids.tolist(), members, inner, strict=True)]
        for node in nodes:
            self.adopt(node)
        return nodes

    def _sample(self, row: int) -> int:
        """Return some supervoxel under a node: it tells the node's chunk."""
        while len(children := self.children(row)):
            row = int(children[0])
        return row


def _children_of(base: Base) -> Grouped:
    held = np.flatnonzero(base.parents >= 0).astype(np.int32)
    return Grouped(base.parents[held], held, len(base.ids))


def _without(edges: Edges, removed: Edges) -> Edges:
    if not len(removed):
        return edges
    return edges[~np.isin(_keys(edges), _keys(removed))]


def _keys(edges: Edges) -> npt.NDArray[np.int64]:
    return (edges[:, 0].astype(np.int64) << 32) | edges[:, 1]
