"""Edits as people make them: by points, looking only at what lies around these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.building import components
from localcave.contacts import Contacts
from localcave.edgetable import NO_EDGES, EdgeChange, Edges
from localcave.errors import BadRequest
from localcave.forest import Forest, places_in
from localcave.graph import Draft, Graph
from localcave.ids import ChunkBox, Rows
from localcave.journal import Details, Operation
from localcave.mincut import Network, cheapest_cut, check_not_isolating
from localcave.points import BOX_MARGIN, Finder, Mark, Spot
from localcave.state import State


@dataclass(frozen=True)
class Preview:
    """What a split would leave around the points: supervoxel ids by component, that of the sources and that of
    the sinks first.
    """

    components: list[npt.NDArray[np.uint64]]
    illegal: bool


@dataclass(frozen=True)
class Author:
    """Who edits, and how much later others see it."""

    user_id: int = 0
    delay_ms: int = 0


class Editor:
    """Merges and splits of one graph."""

    def __init__(self, graph: Graph, finder: Finder, contacts: Contacts) -> None:
        self._graph, self._finder, self._contacts = graph, finder, contacts

    def merge(
        self, marks: Sequence[Mark], author: Author, *, reach: int = 3, same_segment: bool = False
    ) -> Operation | None:
        """Join the objects at two marks: by every contact they have around these, else by one made-up edge.

        `reach` is how many chunks apart the two may lie along an axis. Returns the operation, or none where
        nothing would change.
        """
        first, second = (self._finder.spot(mark) for mark in marks)
        self._check_pair(first, second, reach)
        box = self._finder.box([first, second])

        def step(state: State) -> Draft:
            tops = state.forest.tops(np.array([first.row, second.row]))
            if tops[0] == tops[1] and not same_segment:
                raise BadRequest("the two supervoxels of a merge belong to one object already")
            change = self._joining(state.forest, first.row, second.row, box)
            return Draft(state.forest.edges.needed(change), "merge", author.user_id, details=_said([first], [second]))

        return _only(self._graph.edit([step], delay_ms=author.delay_ms))

    def split(
        self, sources: Sequence[Mark], sinks: Sequence[Mark], author: Author, *, mincut: bool = True
    ) -> Operation | None:
        """Cut sources from sinks along the smallest contact area; without `mincut` cut the given pairs."""
        starts, ends = self._both_sides(sources, sinks)
        if not mincut and len(starts) != len(ends):
            raise BadRequest("without mincut there must be as many sources as sinks")
        box = self._finder.box([*starts, *ends])

        def step(state: State) -> Draft:
            removed = _cut(state.forest, starts, ends, box) if mincut else _pairs(starts, ends)
            change = state.forest.edges.needed(EdgeChange.of(NO_EDGES, removed))
            return Draft(change, "split", author.user_id, details=_said(starts, ends))

        return _only(self._graph.edit([step], delay_ms=author.delay_ms))

    def preview(self, sources: Sequence[Mark], sinks: Sequence[Mark]) -> Preview:
        """Return what `split` would do."""
        starts, ends = self._both_sides(sources, sinks)
        box = self._finder.box([*starts, *ends])
        return self._graph.present(lambda state: _preview(state, starts, ends, box))

    def _both_sides(self, sources: Sequence[Mark], sinks: Sequence[Mark]) -> tuple[list[Spot], list[Spot]]:
        if not sources or not sinks:
            raise BadRequest("a split needs at least one source and one sink")
        starts, ends = ([self._finder.spot(mark) for mark in marks] for marks in (sources, sinks))
        if both := {spot.id for spot in starts} & {spot.id for spot in ends}:
            raise BadRequest(f"supervoxel {min(both)} is marked as source and as sink")
        return starts, ends

    def _check_pair(self, first: Spot, second: Spot, reach: int) -> None:
        if first.row == second.row:
            raise BadRequest("the two points of a merge lie in one supervoxel")
        chunks = self._graph.layout.coordinates(np.array([first.id, second.id], np.uint64), 1)
        if np.abs(chunks[0] - chunks[1]).max() > reach:
            raise BadRequest(f"the two supervoxels of a merge lie more than {reach} chunks apart")

    def _joining(self, forest: Forest, first: int, second: int, box: ChunkBox) -> EdgeChange:
        sides = [_hanging_on(forest, row, box) for row in (first, second)]
        pairs, areas = self._contacts.between(*sides)
        again = _switched_off(forest, *sides)
        fresh = forest.edges.find(pairs) < 0
        added = np.concatenate([pairs[fresh], again])
        if not len(added):
            return EdgeChange.of(added=np.array([sorted((first, second))], np.int32))
        return EdgeChange(added, NO_EDGES, np.append(areas[fresh], np.zeros(len(again), np.int32)))


def _hanging_on(forest: Forest, row: int, box: ChunkBox) -> Rows:
    """Return the supervoxels that hang together with one within the box."""
    around = forest.around(int(forest.tops(np.array([row]))[0]), box)
    first, second = places_in(around.members, forest.edges.ends(around.edges)).T
    parts = components(len(around.members), first, second)
    found: Rows = around.members[parts == parts[places_in(around.members, np.array([row]))[0]]]
    return found


def _switched_off(forest: Forest, first: Rows, second: Rows) -> Edges:
    """Return the edges between two sets of supervoxels that earlier edits cut."""
    ends = forest.edges.ends(forest.edges.off_at(min(first, second, key=len)))
    here = (places_in(first, ends[:, 0]) >= 0) & (places_in(second, ends[:, 1]) >= 0)
    here |= (places_in(second, ends[:, 0]) >= 0) & (places_in(first, ends[:, 1]) >= 0)
    return ends[here]


def _cut(forest: Forest, starts: list[Spot], ends: list[Spot], box: ChunkBox) -> Edges:
    network, numbers, sources, sinks, _ = _network(forest, starts, ends, box)
    cut = cheapest_cut(network, sources, sinks)
    check_not_isolating(network, cut, sources, sinks)
    return forest.edges.ends(numbers[cut])


def _network(
    forest: Forest, starts: list[Spot], ends: list[Spot], box: ChunkBox
) -> tuple[Network, Rows, Rows, Rows, Rows]:
    """Return the object around marked points, the numbers of its edges, where the points are in it, and its rows."""
    rows = np.array([spot.row for spot in (*starts, *ends)])
    tops = np.unique(forest.tops(rows))
    if len(tops) > 1:
        raise BadRequest("all points of a split must belong to one object")
    around = forest.around(int(tops[0]), box)
    edges = places_in(around.members, forest.edges.ends(around.edges))
    network = Network(len(around.members), edges, forest.edges.areas(around.edges))
    marked = places_in(around.members, rows)
    return network, around.edges, marked[: len(starts)], marked[len(starts) :], around.members


def _preview(state: State, starts: list[Spot], ends: list[Spot], box: ChunkBox) -> Preview:
    network, _, sources, sinks, members = _network(state.forest, starts, ends, box)
    parts = network.parts(cheapest_cut(network, sources, sinks))
    order = dict.fromkeys([int(parts[sources[0]]), int(parts[sinks[0]]), *range(parts.max() + 1)])
    ids = state.forest.tree.ids.values
    scattered = len(np.unique(parts[sources])) > 1 or len(np.unique(parts[sinks])) > 1
    return Preview([ids[members[parts == part]] for part in order], scattered)


def _pairs(starts: list[Spot], ends: list[Spot]) -> Edges:
    return np.array([sorted((a.row, b.row)) for a, b in zip(starts, ends, strict=True)], np.int32)


def _said(sources: Sequence[Spot], sinks: Sequence[Spot]) -> Details:
    return Details(
        source_ids=tuple(spot.id for spot in sources),
        sink_ids=tuple(spot.id for spot in sinks),
        source_coords=tuple(spot.voxel for spot in sources),
        sink_coords=tuple(spot.voxel for spot in sinks),
        box_margin=BOX_MARGIN,
    )


def _only(done: list[Operation]) -> Operation | None:
    return done[0] if done else None
