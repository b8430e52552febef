"""A world from a label volume: supervoxels cut out of it, and what touches what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorstore

from localcave.building import components
from localcave.ids import IdLayout, layers_for
from localcave.making import folder as files
from localcave.making import pieces


@dataclass(frozen=True)
class Cut:
    """How a label volume becomes a world.

    `resolution` is a voxel's size in nanometers, `chunk` the graph's chunk in voxels, `block` that of pieces
    within it if they are to be smaller. With `join` all of a label is one object; without, what does not touch
    is several.
    """

    resolution: tuple[float, float, float]
    created: datetime
    chunk: int = 64
    block: int | None = None
    join: bool = False


@dataclass(frozen=True)
class Figures:
    """How much was found in the labels."""

    supervoxels: int
    objects: int
    edges: int
    contacts: int


def read(source: str) -> npt.NDArray[np.integer]:
    """Read labels (x, y, z) from a `.npy` file or the URL of a precomputed volume."""
    if source.endswith(".npy"):
        found = np.load(source, mmap_mode="r")
    else:
        spec = {"driver": "neuroglancer_precomputed", "kvstore": source.removeprefix("precomputed://")}
        found = tensorstore.open(spec, open=True, read=True).result()[..., 0].read().result()
    if found.ndim != 3 or found.dtype.kind not in "iu":
        raise ValueError(f"{source} must hold whole numbers along three axes, not {found.dtype} along {found.ndim}")
    return found


def make(labels: npt.NDArray[np.integer], folder: Path, how: Cut) -> Figures:
    """Write a world without edits or annotations into a new or empty folder."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty")
    if how.block is not None and how.chunk % how.block:
        raise ValueError(f"a chunk of {how.chunk} voxels cannot be divided into blocks of {how.block}")
    folder.mkdir(parents=True, exist_ok=True)
    x, y, z = (-(-size // how.chunk) for size in labels.shape)
    layout = IdLayout(layers_for((x, y, z)))
    names = np.unique(labels)
    numbers = np.searchsorted(names, labels).astype(np.int32) + (0 if names[0] == 0 else 1)
    objects = np.append(0, names[names != 0]).astype(np.int64)
    cut = pieces.cut(numbers, objects, how.chunk, layout, how.block)
    # What touches what is found before objects that don't hang together are told apart.
    edges, contacts = cut.edges(), cut.contacts()
    cut = cut if how.join else _apart(cut, edges)
    files.write_volume(folder, cut, how.chunk, how.resolution)
    files.write_graph(folder, cut, edges, [])
    np.save(folder / "graph/contacts.npy", contacts)
    figures = Figures(len(cut.ids), len(np.unique(cut.objects)), len(edges), len(contacts))
    files.write_about(folder, labels.shape, how.chunk, how.resolution, how.created, layout, vars(figures))
    return figures


def _apart(cut: pieces.Pieces, edges: npt.NDArray[np.uint64]) -> pieces.Pieces:
    first, second = (np.searchsorted(cut.ids, edges[:, side]) for side in (0, 1))
    return replace(cut, objects=components(len(cut.ids), first, second) + 1)
