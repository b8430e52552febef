"""Reading a world folder: a segmentation, its supervoxels and objects, and how people edited them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from localcave import times
from localcave.errors import BadRequest
from localcave.ids import IdLayout, Ids, Rows, layers_for


@dataclass(frozen=True)
class WorldEdit:
    """One line of `graph/edits.jsonl`: its place from 1, its moment, and supervoxel ids.

    For a merge `first` and `second` are supervoxels of the two objects; for a split `leaving` leaves the
    object of `first`.
    """

    place: int
    time_ms: int
    kind: str
    first: int
    second: int = 0
    leaving: tuple[int, ...] = ()


@dataclass(frozen=True)
class WorldFile:
    """A world folder that was found to be one."""

    folder: Path
    about: dict[str, Any]

    @property
    def birth_ms(self) -> int:
        """The moment from which on the graph answers."""
        return times.from_iso(self.about["created"])

    @property
    def layout(self) -> IdLayout:
        """The bits of the graph's ids, after the number of chunks."""
        chunk = self.about["chunk"]
        x, y, z = (-(-size // chunk) for size in self.about["shape"])
        return IdLayout(layers_for((x, y, z)))

    def supervoxels(self) -> Ids:
        """Return the sorted supervoxel ids."""
        return _read(self.folder / "graph/supervoxels.npy").astype(np.uint64)

    def objects(self) -> Ids:
        """Return the object of each supervoxel at the graph's birth."""
        return _read(self.folder / "graph/initial_object.npy").astype(np.uint64)

    def edges(self) -> tuple[Ids, Rows]:
        """Return the touching supervoxels of one object, (m, 2), and their contact areas."""
        table = _read(self.folder / "graph/edges.npy")
        return table[:, :2].astype(np.uint64), table[:, 2].astype(np.int64)

    def edits(self, after: int = 0, until_ms: int | None = None) -> Iterator[WorldEdit]:
        """Yield the history after the first `after` edits, up to and with a moment."""
        with (self.folder / "graph/edits.jsonl").open() as lines:
            for place, line in enumerate(lines, start=1):
                if place > after and line.strip():
                    edit = _edit(place, line)
                    if until_ms is not None and edit.time_ms > until_ms:
                        return
                    yield edit


def open_world(folder: str) -> WorldFile:
    """Open a world folder, or say what is missing in it."""
    path = Path(folder).expanduser()
    about = path / "about.json"
    if not about.is_file():
        raise BadRequest(f"{folder} is no world folder: it has no about.json")
    world = WorldFile(path.resolve(), json.loads(about.read_text()))
    missing = [key for key in ("resolution_nm", "shape", "chunk", "created", "id_bits") if key not in world.about]
    if missing:
        raise BadRequest(f"{about} lacks {', '.join(missing)}")
    bits = world.layout.spatial_bits(1)
    expected = {"layer": 8, "x": bits, "y": bits, "z": bits, "segment": world.layout.segment_bits(1)}
    if world.about["id_bits"] != expected:
        raise BadRequest(f"id_bits of {about} must be {expected} for its number of chunks")
    return world


def _read(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as problem:
        raise BadRequest(f"cannot read {path}: {problem}") from problem


def _edit(place: int, text: str) -> WorldEdit:
    try:
        line = json.loads(text)
    except ValueError as problem:
        raise BadRequest(f"line {place} of edits.jsonl is no JSON: {problem}") from problem
    return parse_edit(place, line, f"line {place} of edits.jsonl")


def parse_edit(place: int, line: Any, name: str) -> WorldEdit:
    """Return an edit from its JSON object."""
    try:
        moment = times.from_iso(line["timestamp"])
        if line["type"] == "merge":
            first, second = line["supervoxels"]
            return WorldEdit(place, moment, "merge", int(first), int(second))
        if line["type"] == "split":
            return WorldEdit(place, moment, "split", int(line["from"]), leaving=tuple(map(int, line["split_off"])))
    except (ValueError, KeyError, TypeError) as problem:
        raise BadRequest(f"{name} is no edit: {problem!r}") from problem
    raise BadRequest(f"{name} has the unknown type {line['type']!r}; known are merge and split")
