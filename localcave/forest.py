"""The present tree of every object, and how an edit of edges changes it.

Nodes are immutable: an edit makes new nodes along the way from the touched supervoxels up to the root, and
leaves every other node under a new parent at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.building import Base, components
from localcave.edgetable import NO_ROWS, EdgeChange, Edges, EdgeTable
from localcave.ids import LAYER_SHIFT, ChunkBox, IdLayout, Minter, Rows, layers_of
from localcave.tree import Tree

FEW_SUPERVOXELS = 20_000  # with more, looking for them costs more than they save


@dataclass(frozen=True)
class NewNode:
    """A node that an edit made: its row, its id, and the rows of its children."""

    row: int
    id: int
    children: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Rewiring:
    """What an edit did to the tree: nodes from the lowest layer up, and the rows of roots before and after."""

    nodes: tuple[NewNode, ...]
    old_roots: Rows
    new_roots: Rows


@dataclass(frozen=True)
class Surroundings:
    """Supervoxels of one object, sorted rows, and the numbers of the edges among them."""

    members: Rows
    edges: Rows


class Forest:
    """The present trees over one graph's supervoxels. One thread at a time may ask or change them."""

    def __init__(self, layout: IdLayout, base: Base, minter: Minter) -> None:
        self._layout, self._minter = layout, minter
        self.tree = Tree(layout, base)
        self.edges = EdgeTable(layout, base)
        self._flags = np.zeros(int(np.searchsorted(base.ids, np.uint64(2 << LAYER_SHIFT))), np.bool_)

    def tops(self, rows: npt.NDArray[np.integer]) -> Rows:
        """Return the present root above each supervoxel."""
        return self.tree.tops(rows)

    def around(self, node: int, box: ChunkBox | None = None) -> Surroundings:
        """Return the supervoxels under a node, within a box if one is given, and the active edges among them."""
        members, passed = self.tree.down_to(np.array([node]), box=box)
        chunks = np.unique(self._layout.chunk_of(self.tree.ids.values[passed]))
        with self._flagged(members) as flags:
            edges = self.edges.active_in(chunks.tolist(), flags)
        ends = self.edges.ends(edges)
        return Surroundings(members, edges[(places_in(members, ends) >= 0).all(axis=1)])

    def rewire(self, change: EdgeChange) -> Rewiring:
        """Make a change of edges and return what became of the trees."""
        touched = np.unique(np.concatenate([change.added.ravel(), change.removed.ravel()]))
        chain = self._chain(touched)
        self.edges.switch(change)
        self.tree.parents.values[self.tree.children_of(chain)] = -1
        ids = self.tree.ids.values[chain]
        layers, chunks = layers_of(ids), self._layout.chunk_of(ids)
        meeting = self.edges.meeting_chunks(change.added)
        added_layers = self._crossing(change.added)
        made: list[NewNode] = []
        loose = NO_ROWS
        members = self.tree.down_to_few(chain[layers == self._layout.layers], FEW_SUPERVOXELS)
        with self._flagged(members) as flags:
            for layer in range(2, self._layout.layers + 1):
                old = chain[layers == layer]
                pool = np.union1d(loose, np.setdiff1d(self.tree.children_of(old), chain))
                where = np.union1d(chunks[layers == layer], meeting[added_layers == layer])
                edges = self.edges.ends(self.edges.active_in(where.tolist(), flags))
                loose, nodes = self._gather(layer, pool, edges)
                made.extend(nodes)
        return Rewiring(tuple(made), chain[layers == self._layout.layers], loose)

    def adopt(self, nodes: Sequence[NewNode], change: EdgeChange) -> None:
        """Take in what an earlier run has made of a change."""
        self.edges.switch(change)
        self.tree.append([node.id for node in nodes], [node.children for node in nodes])

    @contextmanager
    def _flagged(self, members: Rows | None) -> Iterator[npt.NDArray[np.bool_] | None]:
        """Flag some supervoxels for a while; none at all if there are too many to know them."""
        if members is None:
            yield None
            return
        self._flags[members] = True
        try:
            yield self._flags
        finally:
            self._flags[members] = False

    def _crossing(self, edges: Edges) -> Rows:
        ids = self.tree.ids.values
        return self._layout.crossing_layers(ids[edges[:, 0]], ids[edges[:, 1]])

    def _chain(self, touched: Rows) -> Rows:
        """Return every node above the touched supervoxels: those that the edit retires."""
        chain, above = [NO_ROWS], touched
        while len(above):
            above = np.unique(self.tree.parents.values[above]).astype(np.int64)
            above = above[above >= 0]
            chain.append(above)
        return np.unique(np.concatenate(chain))

    def _gather(self, layer: int, pool: Rows, edges: Edges) -> tuple[Rows, list[NewNode]]:
        """Join the pool's members by edges; return what has no parent now, and the nodes made."""
        first = places_in(pool, self.tops(edges[:, 0]))
        ours = first >= 0  # the others belong to objects nearby
        labels = components(len(pool), first[ours], places_in(pool, self.tops(edges[ours, 1])))
        kept = np.flatnonzero(np.bincount(labels, minlength=0) >= (1 if layer in (2, self._layout.layers) else 2))
        order = np.argsort(labels, kind="stable")
        bounds = np.searchsorted(labels[order], [kept, kept + 1])
        members = [pool[order[low:high]].astype(np.int32) for low, high in bounds.T.tolist()]
        nodes = self._make(layer, members)
        alone = pool[~np.isin(labels, kept)]
        return np.concatenate([alone, np.array([node.row for node in nodes], np.int64)]), nodes

    def _make(self, layer: int, members: list[npt.NDArray[np.int32]]) -> list[NewNode]:
        if not members:
            return []
        ids = self.tree.ids.values
        samples = np.array([self.tree.sample(int(rows[0])) for rows in members])
        fresh = self._minter.mint(layer, self._layout.prefixes(ids[samples], layer))
        rows = range(len(ids), len(ids) + len(fresh))
        self.tree.append(fresh, members)
        return [NewNode(*parts) for parts in zip(rows, fresh.tolist(), members, strict=True)]


def places_in(members: Rows, wanted: npt.NDArray[np.integer]) -> Rows:
    """Return where each wanted row stands among sorted members, -1 where it is none of them."""
    if not len(members):
        return np.full(wanted.shape, -1, np.int64)
    place = np.minimum(np.searchsorted(members, wanted), len(members) - 1)
    return np.where(members[place] == wanted, place, -1)
