"""Nodes and who stands under whom: the children of a node never change, its parent does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from localcave.building import Base
from localcave.edgetable import NO_ROWS
from localcave.growing import Growing
from localcave.ids import ChunkBox, IdLayout, Rows, layers_of


class Tree:
    """Every node that ever lived, by row, with its children and its present parent."""

    def __init__(self, layout: IdLayout, base: Base) -> None:
        self.layout = layout
        self.ids = Growing(base.ids)
        self.parents = Growing(np.array(base.parents))
        held = np.flatnonzero(base.parents >= 0).astype(np.int32)
        owners = base.parents[held]
        order = np.argsort(owners, kind="stable")
        self._children = Growing(held[order])
        counts = np.bincount(owners, minlength=len(base.ids))
        self._starts = Growing(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))

    def children(self, row: int) -> npt.NDArray[np.int32]:
        """Return the rows of a node's children; none for a supervoxel."""
        low, high = self._starts.values[row : row + 2]
        return self._children.values[low:high]

    def children_of(self, rows: npt.NDArray[np.integer]) -> Rows:
        """Return the rows of all children of some nodes, node after node."""
        low = self._starts.values[rows].astype(np.int64)
        sizes = self._starts.values[rows + 1] - low
        before = np.cumsum(sizes) - sizes
        places = np.repeat(low - before, sizes) + np.arange(sizes.sum())
        return self._children.values[places].astype(np.int64)

    def child_counts(self, rows: npt.NDArray[np.integer]) -> Rows:
        """Return how many children nodes have."""
        return (self._starts.values[rows + 1] - self._starts.values[rows]).astype(np.int64)

    def tops(self, rows: npt.NDArray[np.integer]) -> Rows:
        """Return the topmost present node above each node."""
        top, parents = rows.astype(np.int64), self.parents.values
        while (above := parents[top]).max(initial=-1) >= 0:
            top = np.where(above >= 0, above, top)
        return top

    def down_to(self, nodes: Rows, layer: int = 1, box: ChunkBox | None = None) -> tuple[Rows, Rows]:
        """Return the first descendants of nodes at or below a layer, and the nodes passed on the way.

        With a box only those whose chunk meets it. A node at or below the layer already is returned itself.
        """
        found, passed = [NO_ROWS], [NO_ROWS]
        while len(nodes):
            ids = self.ids.values[nodes]
            low = layers_of(ids) <= layer
            found.append(nodes[low])
            passed.append(nodes[~low])
            nodes = self.children_of(nodes[~low])
            if box is not None:
                nodes = nodes[box.meets(self.layout, self.ids.values[nodes])]
        return np.sort(np.concatenate(found)), np.concatenate(passed)

    def down_to_few(self, nodes: Rows, limit: int) -> Rows | None:
        """Return the supervoxels under nodes, none if they are more than a limit."""
        found, count = [NO_ROWS], 0
        while len(nodes):
            low = layers_of(self.ids.values[nodes]) == 1
            found.append(nodes[low])
            count += int(low.sum())
            nodes = self.children_of(nodes[~low])
            if count + len(nodes) > limit:
                return None
        return np.concatenate(found)

    def append(self, ids: npt.ArrayLike, children: list[npt.NDArray[np.int32]]) -> None:
        """Add nodes above others, which then have these as parents."""
        sizes = [len(part) for part in children]
        flat = np.concatenate([np.empty(0, np.int32), *children])
        first = len(self.ids)
        self.ids.extend(ids)
        self.parents.extend(np.full(len(sizes), -1, np.int32))
        # Where a node is named twice the later parent stands, as numpy assigns in order.
        self.parents.values[flat] = np.repeat(np.arange(first, first + len(sizes), dtype=np.int32), sizes)
        self._starts.extend(len(self._children) + np.cumsum(sizes, dtype=np.int64))
        self._children.extend(flat)

    def sample(self, row: int) -> int:
        """Return some supervoxel under a node: it tells the node's chunk."""
        while len(children := self.children(row)):
            row = int(children[0])
        return row
