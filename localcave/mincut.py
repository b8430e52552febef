"""Where to cut an object so that marked points come apart: the smallest contact area between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from localcave.building import components
from localcave.errors import BadRequest, Unanswerable
from localcave.ids import Rows

MOST_FLOW = 1 << 30  # scipy counts flow in 32 bits


@dataclass(frozen=True)
class Network:
    """Supervoxels 0..count-1, the edges between them, (m, 2), and their contact areas.

    An edge without area, which holds together what does not touch, counts as the smallest contact there is.
    """

    count: int
    edges: Rows
    areas: npt.NDArray[np.integer]

    def parts(self, cut: npt.NDArray[np.bool_]) -> Rows:
        """Return the component of each supervoxel once some edges are cut."""
        return components(self.count, self.edges[~cut, 0], self.edges[~cut, 1])


def cheapest_cut(network: Network, sources: Rows, sinks: Rows) -> npt.NDArray[np.bool_]:
    """Return which edges to cut so that no path is left from a source to a sink."""
    _check_joined(network, sources, sinks)
    capacity = _capacities(network, sources, sinks)
    flow = maximum_flow(capacity, network.count, network.count + 1).flow
    left = capacity - flow
    left.eliminate_zeros()
    reached = np.zeros(network.count + 2, np.bool_)
    reached[breadth_first_order(left, network.count, return_predecessors=False)] = True
    cut: npt.NDArray[np.bool_] = reached[network.edges[:, 0]] != reached[network.edges[:, 1]]
    if not cut.any():
        raise Unanswerable("the cut found no edges to remove")
    return cut


def check_not_isolating(network: Network, cut: npt.NDArray[np.bool_], sources: Rows, sinks: Rows) -> None:
    """Refuse a cut that takes away nothing but marked points."""
    parts = network.parts(cut)
    for name, marked in (("sources", sources), ("sinks", sinks)):
        if np.isin(parts, parts[marked]).sum() == len(np.unique(marked)):
            raise BadRequest(
                f"the cut would isolate only the marked {name}; mark more points, or send mincut=false to cut the "
                "given pairs"
            )


def _check_joined(network: Network, sources: Rows, sinks: Rows) -> None:
    if not len(network.edges):
        raise BadRequest("there are no edges around these points")
    parts = network.parts(np.zeros(len(network.edges), np.bool_))
    if not np.isin(parts[sources], parts[sinks]).any():
        raise BadRequest("sources and sinks don't hang together around these points; choose points closer together")


def _capacities(network: Network, sources: Rows, sinks: Rows) -> csr_array:
    area = np.maximum(network.areas.astype(np.int64), 1)
    total = int(area.sum())
    if total >= MOST_FLOW:
        area = np.maximum(area * (MOST_FLOW // 2) // total, 1)
    first, second = network.edges.T
    start, end = np.full(len(sources), network.count), np.full(len(sinks), network.count + 1)
    below = np.concatenate([first, second, start, sinks])
    above = np.concatenate([second, first, sources, end])
    many = np.full(len(sources) + len(sinks), MOST_FLOW)
    weights = np.concatenate([area, area, many]).astype(np.int32)
    size = network.count + 2
    found = csr_array((weights, (below, above)), shape=(size, size))
    found.indices, found.indptr = found.indices.astype(np.int32), found.indptr.astype(np.int32)
    return found
