"""Edits of whole objects, said as edges to add and to remove."""

from __future__ import annotations

import numpy as np

from localcave.building import components, joining_edges
from localcave.edgetable import EdgeChange
from localcave.errors import Conflict
from localcave.forest import Forest, places_in
from localcave.ids import Rows


def merge(forest: Forest, first: int, second: int) -> EdgeChange:
    """Join the two whole objects that hold two supervoxels by an edge between these."""
    tops = forest.tops(np.array([first, second]))
    if tops[0] == tops[1]:
        raise Conflict("the two supervoxels of a merge already belong to one object")
    return EdgeChange.of(added=np.array([sorted((first, second))], np.int32))


def split_off(forest: Forest, leaving: Rows, source: int) -> EdgeChange:
    """Separate exactly `leaving` from the rest of the object that holds `source`.

    Every edge between the two parts goes; where a part falls to pieces by that, or never touched, new edges
    hold it together.
    """
    whole = forest.around(int(forest.tops(np.array([source]))[0]))
    members, edges = whole.members, forest.edges.ends(whole.edges)
    leaves = np.isin(members, leaving)
    if not len(leaving) or leaves.sum() != len(np.unique(leaving)) or np.isin(source, leaving):
        raise Conflict("a split must leave behind `from` and take only supervoxels of its object along")
    first, second = places_in(members, edges).T
    cut = leaves[first] != leaves[second]
    parts = components(len(members), first[~cut], second[~cut])
    return EdgeChange.of(joining_edges(leaves.astype(np.int8), parts, members).astype(np.int32), edges[cut])
