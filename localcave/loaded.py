"""A world that is served: its graph, its volume, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcave import times, worldedits
from localcave.clock import Clock
from localcave.contacts import KEPT, Contacts
from localcave.editing import Editor
from localcave.graph import Graph
from localcave.nodes import Nodes
from localcave.points import Finder
from localcave.queries import Queries
from localcave.volume import Volume
from localcave.worldfile import WorldEdit, WorldFile


@dataclass(frozen=True)
class Loaded:
    """A world that is served under a datastack's name."""

    datastack: str
    number: int
    world: WorldFile
    queries: Queries
    volume: Volume
    finder: Finder
    nodes: Nodes
    editor: Editor

    @staticmethod
    def open(datastack: str, number: int, world: WorldFile, folder: Path, clock: Clock) -> Loaded:
        """Open a graph's folder over its world."""
        graph = Graph(folder, clock)
        x, y, z = world.about["shape"]
        volume = Volume(world.folder / "segmentation", (x, y, z))
        chunk, resolution = world.about["chunk"], world.about["resolution_nm"]
        finder = Finder(graph, volume, resolution, chunk)
        given = world.folder / "graph"
        contacts = Contacts(
            folder / KEPT, given / KEPT, volume, given / "initial_object.npy", given / "supervoxels.npy", chunk
        )
        nodes = Nodes(graph, finder, chunk, resolution)
        return Loaded(datastack, number, world, Queries(graph), volume, finder, nodes, Editor(graph, finder, contacts))

    @property
    def graph(self) -> Graph:
        """The datastack's graph."""
        return self.queries.graph

    @property
    def aligned_volume(self) -> str:
        """The name of the image volume."""
        return f"{self.datastack}_volume"

    @property
    def table(self) -> str:
        """The name of the chunkedgraph table."""
        return f"{self.datastack}_pcg"

    @property
    def names(self) -> tuple[str, str, str]:
        """Every name it goes by."""
        return self.datastack, self.table, self.aligned_volume

    def go_on(self, until: str | None, *, force: bool, delay_ms: int = 0) -> int:
        """Apply the world's edits that were not applied yet, up to and with a moment, and return how many."""
        until_ms = None if until is None else times.from_iso(until)
        coming = self.world.edits(self.graph.world_edits, until_ms)
        return len(self.graph.edit(worldedits.steps(coming, recorded=True), force=force, delay_ms=delay_ms))

    def apply(self, given: Sequence[WorldEdit], *, force: bool, delay_ms: int = 0) -> int:
        """Apply edits that are not of the world's history, and return how many."""
        return len(self.graph.edit(worldedits.steps(given, recorded=False), force=force, delay_ms=delay_ms))
