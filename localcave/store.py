"""Everything one server knows, and where it is on disk: loaded worlds, their graphs, and settings."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localcave import times
from localcave.errors import BadRequest, Conflict, NotFound
from localcave.graph import UNFINISHED, Graph, create
from localcave.queries import Queries
from localcave.worldfile import WorldFile, open_world

CATALOGUE = "catalogue.json"


@dataclass(frozen=True)
class Loaded:
    """A world that is served under a datastack's name."""

    datastack: str
    number: int
    world: WorldFile
    queries: Queries

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


@dataclass
class Catalogue:
    """What outlives the process besides the graphs."""

    public_url: str | None = None
    strict: bool = False
    folders: dict[str, str] = field(default_factory=dict)


class Store:
    """The worlds under one state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / CATALOGUE
        self._catalogue = Catalogue(**json.loads(path.read_text())) if path.exists() else Catalogue()
        self._loaded: dict[str, Loaded] = {}
        for unfinished in folder.glob(f"tables/{UNFINISHED}*"):
            shutil.rmtree(unfinished)
        for datastack, world in self._catalogue.folders.items():
            self._open(datastack, open_world(world))

    @property
    def public_url(self) -> str | None:
        """The base URL under which clients reach the services, if it was set."""
        return self._catalogue.public_url

    @property
    def strict(self) -> bool:
        """Whether the chunkedgraph's known bugs are off."""
        return self._catalogue.strict

    def configure(self, settings: dict[str, Any]) -> None:
        """Change settings and keep them."""
        unknown = settings.keys() - {"public_url", "strict"}
        if unknown:
            raise BadRequest(f"unknown setting {min(unknown)!r}; known are public_url and strict")
        with self._lock:
            for name, value in settings.items():
                setattr(self._catalogue, name, value)
            self._save()
            for loaded in self._loaded.values():
                loaded.queries.strict = self._catalogue.strict

    def load(self, folder: str, datastack: str) -> Loaded:
        """Serve a world folder as a datastack; the same folder again is no change."""
        world = open_world(folder)
        if not datastack.isidentifier() or len(datastack) > 40:
            raise BadRequest(f"datastack {datastack!r} must be a name of letters, digits and _, at most 40 long")
        with self._lock:
            known = self._catalogue.folders.setdefault(datastack, str(world.folder))
            if known != str(world.folder):
                raise Conflict(
                    f"datastack {datastack} is the world {known} already; load {world.folder} under another name"
                )
            if datastack not in self._loaded:
                self._create(datastack, world)
            return self._loaded[datastack]

    def __iter__(self) -> Iterator[Loaded]:
        return iter(list(self._loaded.values()))

    def datastack(self, name: str) -> Loaded:
        """Return a datastack by name."""
        if name not in self._loaded:
            raise NotFound(f"there is no datastack {name!r}; known are: {', '.join(sorted(self._loaded)) or 'none'}")
        return self._loaded[name]

    def table(self, name: str) -> Loaded:
        """Return the datastack of a chunkedgraph table."""
        for loaded in self:
            if loaded.table == name:
                return loaded
        raise NotFound(f"there is no chunkedgraph table {name!r}")

    def apply_edits(self, loaded: Loaded, until: str | None, *, force: bool) -> int:
        """Apply a world's edits that were not applied yet, up to and with a moment, and return how many."""
        until_ms = None if until is None else times.from_iso(until)
        graph = loaded.graph
        with self._lock:
            return graph.apply_world_edits(loaded.world.edits(graph.world_edits, until_ms), force=force)

    def close(self) -> None:
        """Close every log."""
        for loaded in self:
            loaded.graph.close()

    def _create(self, datastack: str, world: WorldFile) -> None:
        try:
            create(world, f"{datastack}_pcg", self._graph_folder(datastack))
            self._open(datastack, world)
        finally:
            if datastack not in self._loaded:
                del self._catalogue.folders[datastack]
        self._save()

    def _open(self, datastack: str, world: WorldFile) -> None:
        queries = Queries(Graph(self._graph_folder(datastack)))
        queries.strict = self._catalogue.strict
        self._loaded[datastack] = Loaded(datastack, len(self._loaded) + 1, world, queries)

    def _graph_folder(self, datastack: str) -> Path:
        return self._folder / "tables" / f"{datastack}_pcg"

    def _save(self) -> None:
        fresh = self._folder / f".{CATALOGUE}.new"
        fresh.write_text(json.dumps(asdict(self._catalogue), indent=1))
        fresh.replace(self._folder / CATALOGUE)
