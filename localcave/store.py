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
from localcave.clock import Clock
from localcave.creation import UNFINISHED, create
from localcave.errors import BadRequest, Conflict, NotFound
from localcave.loaded import Loaded
from localcave.worldfile import WorldFile, open_world

CATALOGUE = "catalogue.json"
SETTINGS = {"public_url": (str, type(None)), "strict": (bool,), "gzip": (bool,)}


@dataclass(frozen=True)
class VirtualTable:
    """Another name for a table, true of one moment for ever."""

    table: str
    until_ms: int


@dataclass(frozen=True)
class Served:
    """A table as a request names it; a virtual one has a moment beyond which nothing is told."""

    loaded: Loaded
    until_ms: int | None = None


@dataclass
class Catalogue:
    """What outlives the process besides the graphs."""

    public_url: str | None = None
    strict: bool = False
    gzip: bool = False
    folders: dict[str, str] = field(default_factory=dict)
    virtual: dict[str, VirtualTable] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> Catalogue:
        """Read it from its file."""
        found = json.loads(path.read_text())
        virtual = {name: VirtualTable(**table) for name, table in found.pop("virtual", {}).items()}
        return Catalogue(**found, virtual=virtual)


class Store:
    """The worlds under one state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self.clock = Clock()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / CATALOGUE
        self._catalogue = Catalogue.read(path) if path.exists() else Catalogue()
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

    @property
    def settings(self) -> dict[str, Any]:
        """What `configure` may change."""
        return {name: getattr(self._catalogue, name) for name in SETTINGS}

    def configure(self, settings: dict[str, Any]) -> None:
        """Change settings and keep them."""
        for name, value in settings.items():
            if name not in SETTINGS:
                raise BadRequest(f"unknown setting {name!r}; known are {', '.join(SETTINGS)}")
            if not isinstance(value, SETTINGS[name]):
                raise BadRequest(f"setting {name} must be {' or '.join(kind.__name__ for kind in SETTINGS[name])}")
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

    def table(self, name: str) -> Served:
        """Return the datastack of a chunkedgraph table, by its own name or a virtual one."""
        virtual = self._catalogue.virtual.get(name)
        wanted = name if virtual is None else virtual.table
        for loaded in self:
            if loaded.table == wanted:
                return Served(loaded, None if virtual is None else virtual.until_ms)
        raise NotFound(f"there is no chunkedgraph table {name!r}")

    def table_named(self, name: str) -> Loaded | None:
        """Return the datastack that goes by any name: its own, its table's, its volume's, or a virtual table's."""
        virtual = self._catalogue.virtual.get(name)
        wanted = name if virtual is None else virtual.table
        return next((loaded for loaded in self if wanted in loaded.names), None)

    @property
    def virtual_tables(self) -> dict[str, VirtualTable]:
        """The virtual tables by name."""
        return dict(self._catalogue.virtual)

    def name_table(self, name: str, table: str, until: str) -> None:
        """Let a table be asked under another name, as it was at a moment."""
        target = self.table(table)
        if not name.isidentifier() or any(name in loaded.names for loaded in self):
            raise BadRequest(f"{name!r} is taken, or no name of letters, digits and _")
        with self._lock:
            self._catalogue.virtual[name] = VirtualTable(target.loaded.table, times.from_iso(until))
            self._save()

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
        number = len(self._loaded) + 1
        loaded = Loaded.open(datastack, number, world, self._graph_folder(datastack), self.clock)
        loaded.queries.strict = self._catalogue.strict
        self._loaded[datastack] = loaded

    def _graph_folder(self, datastack: str) -> Path:
        return self._folder / "tables" / f"{datastack}_pcg"

    def _save(self) -> None:
        fresh = self._folder / f".{CATALOGUE}.new"
        fresh.write_text(json.dumps(asdict(self._catalogue), indent=1))
        fresh.replace(self._folder / CATALOGUE)
