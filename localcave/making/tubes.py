"""Neurite-like objects: tubes around smooth random walks that fill most of a volume and touch one another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

TUBES_PER_VOXEL = 400 / 128**3
FEWEST_TUBES = 24
RADIUS = 4.5  # of the grid; further away from every walk lies background
SLAB = 32
WIGGLE = 0.35
BRANCHES = 0.25  # share of walks that start on another one and belong to its object
TWINS = 0.12  # share of walks that belong to another one's object without touching it on purpose


@dataclass(frozen=True)
class Tubes:
    """Walks drawn into a grid.

    Attributes
    ----------
    labels : (g, g, g) int32, the walk each grid voxel belongs to, from 1; 0 is background
    objects : (walks + 1,) int64, the object of each walk, from 1; 0 for background
    """

    labels: npt.NDArray[np.int32]
    objects: npt.NDArray[np.int64]


def grow(rng: np.random.Generator, grid: int) -> Tubes:
    """Fill a cubic grid with tubes."""
    count = max(FEWEST_TUBES, round(TUBES_PER_VOXEL * grid**3))
    paths, objects = _walk(rng, count, grid)
    marks = np.zeros((grid,) * 3, np.int32)
    for step in range(paths.shape[1]):
        x, y, z = paths[:, step].T
        marks[x, y, z] = np.where(marks[x, y, z] == 0, np.arange(1, count + 1), marks[x, y, z])
    labels = np.concatenate([_thickened(marks, low) for low in range(0, grid, SLAB)])
    return Tubes(labels, np.concatenate([[0], objects]))


def _thickened(marks: npt.NDArray[np.int32], low: int) -> npt.NDArray[np.int32]:
    """Return the nearest mark of each voxel of a slab; a slab at a time, as distances take much memory."""
    start = max(0, low - math.ceil(RADIUS))
    part = marks[start : low + SLAB + math.ceil(RADIUS)]
    distance, nearest = ndimage.distance_transform_edt(part == 0, return_indices=True)
    labels: npt.NDArray[np.int32] = part[tuple(nearest)]
    labels[distance > RADIUS] = 0
    return labels[low - start : low - start + SLAB]


def _walk(rng: np.random.Generator, count: int, grid: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the (count, steps, 3) voxels of smooth walks, and the object of each."""
    steps = int(grid * 1.2)
    position = rng.uniform(0, grid, (count, 3))
    heading = _unit(rng.normal(size=(count, 3)))
    lengths = rng.integers(steps // 4, steps, count)
    paths = np.empty((count, steps, 3), np.int64)
    for step in range(steps):
        paths[:, step] = np.clip(position, 0, grid - 1).astype(np.int64)
        heading = _unit(heading + rng.normal(scale=WIGGLE, size=(count, 3)))
        outside = (position + heading < 0) | (position + heading >= grid)
        heading[outside] *= -1
        position = position + heading * (step < lengths)[:, None]
    return _branch(rng, paths)


def _branch(
    rng: np.random.Generator, paths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give some walks to another one's object, moving part of them to start on it."""
    count = len(paths)
    grid = paths.max() + 1
    objects = np.arange(1, count + 1)
    kind = rng.random(count)
    for walk in range(1, count):
        if kind[walk] >= BRANCHES + TWINS:
            continue
        stem = int(rng.integers(walk))
        objects[walk] = objects[stem]
        if kind[walk] < BRANCHES:
            start = paths[stem, rng.integers(paths.shape[1] // 4)]
            paths[walk] = np.clip(paths[walk] - paths[walk, 0] + start, 0, grid - 1)
    return paths, objects


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
