"""Annotations of a world: synapses at real contacts, nuclei, and what type of cell they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localcave.making.pieces import Pieces

BACKGROUND_SHARE = 0.005
CELL_TYPES = ("pyramidal", "basket", "martinotti", "bipolar", "chandelier", "astrocyte")
MOST_NUCLEI = 300

Points = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Synapses:
    """Two points of each synapse in voxels, (n, 3), and its size."""

    pre: Points
    post: Points
    sizes: npt.NDArray[np.float32]

    @property
    def center(self) -> Points:
        """The points half way."""
        return ((self.pre + self.post) // 2).astype(np.int32)


@dataclass(frozen=True)
class Nucleus:
    """A point inside an object, a volume in cubic micrometers, and a type of cell."""

    point: tuple[int, int, int]
    volume: float
    cell_type: str


def synapses(rng: np.random.Generator, pieces: Pieces, count: int) -> Synapses:
    """Place synapses on both sides of faces between objects; a few post points lie on background instead."""
    contacts = pieces.foreign_faces()
    empty = np.flatnonzero(pieces.rows.ravel() < 0)
    if not len(contacts) or not len(empty):
        raise ValueError("no two objects touch, or nothing is background; make the world larger")
    chosen = pieces.faces.ends(contacts[rng.integers(len(contacts), size=count)], pieces.rows.shape)
    chosen = np.where(rng.random(count)[:, None] < 0.5, chosen, chosen[:, ::-1])
    pre, post = _facing(rng, chosen, pieces.rows.shape)
    lost = rng.choice(count, round(count * BACKGROUND_SHARE), replace=False)
    post[lost] = _inside(rng, rng.choice(empty, len(lost)), pieces.rows.shape)
    sizes = rng.lognormal(6, 1.2, count).astype(np.float32)
    return Synapses(pre.astype(np.int32), post.astype(np.int32), sizes)


def nuclei(rng: np.random.Generator, pieces: Pieces) -> list[Nucleus]:
    """Put a nucleus into some objects."""
    owners = np.unique(pieces.objects)
    chosen = np.sort(rng.choice(owners, min(MOST_NUCLEI, max(1, len(owners) * 2 // 3)), replace=False))
    voxels = _somewhere(rng, pieces, chosen)
    points = _inside(rng, voxels, pieces.rows.shape)
    volumes, kinds = (rng.lognormal(4.5, 0.8, len(chosen)), rng.choice(CELL_TYPES, len(chosen)))
    return [
        Nucleus((x, y, z), float(volume), str(kind))
        for (x, y, z), volume, kind in zip(points.tolist(), volumes, kinds, strict=True)
    ]


def _somewhere(rng: np.random.Generator, pieces: Pieces, objects: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the flat index of a voxel of each of some sorted objects, every voxel as likely as the next."""
    owner = np.searchsorted(objects, pieces.objects)
    owner[~np.isin(pieces.objects, objects)] = -1
    best, found = np.full(len(objects), -1.0), np.zeros(len(objects), np.int64)
    for start, where, rows in pieces.solid():
        mine = owner[rows]
        where, mine = where[mine >= 0], mine[mine >= 0]
        drawn = rng.random(len(where))
        order = np.lexsort((drawn, mine))
        last = np.flatnonzero(np.append(np.diff(mine[order]) != 0, True))[: len(order)]
        winners = order[last]
        better = winners[drawn[winners] > best[mine[winners]]]
        best[mine[better]], found[mine[better]] = drawn[better], where[better] + start
    return found


def _facing(
    rng: np.random.Generator, pairs: npt.NDArray[np.int64], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return two neighboring voxels of the volume, one in each of two neighboring grid voxels."""
    first = np.stack(np.unravel_index(pairs[:, 0], shape), axis=1)
    second = np.stack(np.unravel_index(pairs[:, 1], shape), axis=1)
    step = second - first
    shift = rng.integers(0, 2, first.shape)
    near = np.where(step > 0, 1, np.where(step < 0, 0, shift))
    far = np.where(step > 0, 0, np.where(step < 0, 1, shift))
    return 2 * first + near, 2 * second + far


def _inside(rng: np.random.Generator, voxels: npt.NDArray[np.int64], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return a voxel of the volume in each grid voxel."""
    where = np.stack(np.unravel_index(voxels, shape), axis=1)
    return 2 * where + rng.integers(0, 2, where.shape)
