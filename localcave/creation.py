"""Making the folder of a graph from a world."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from localcave.building import Base, build
from localcave.errors import BadRequest
from localcave.ids import Minter
from localcave.state import ARRAYS, FORMAT, About
from localcave.supervoxels import SupervoxelIndex
from localcave.worldfile import WorldFile

UNFINISHED = ".building-"


def create(world: WorldFile, table: str, folder: Path) -> None:
    """Build a graph's folder from a world; a process killed on the way leaves nothing that counts."""
    supervoxels, objects = world.supervoxels(), world.objects()
    if len(supervoxels) != len(objects) or (np.diff(supervoxels.astype(np.int64)) <= 0).any():
        raise BadRequest("supervoxels.npy must be sorted, without repeats, and as long as initial_object.npy")
    pairs, areas = world.edges()
    rows = SupervoxelIndex(world.layout, supervoxels).rows(pairs.ravel()).reshape(-1, 2)
    if (rows < 0).any():
        raise BadRequest("edges.npy names a supervoxel that is not in supervoxels.npy")
    if (objects[rows[:, 0]] != objects[rows[:, 1]]).any():
        raise BadRequest("edges.npy has an edge between two objects")
    base = build(world.layout, Minter(world.layout, table), supervoxels, objects, rows, areas)
    _write(folder, base, About(table, world.birth_ms, world.layout.layers, FORMAT))


def _write(folder: Path, base: Base, about: About) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    for name in ARRAYS:
        np.save(building / f"{name}.npy", getattr(base, name))
    (building / "graph.json").write_text(json.dumps(asdict(about)))
    if folder.exists():
        shutil.rmtree(folder)
    building.rename(folder)
