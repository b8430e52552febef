"""Random points on the sphere, from seeded generators."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]
Seed = int | list[int] | np.random.Generator | None


def rand_sphere_xyz(count: int, hemi: int = 0, seed: Seed = None) -> Vectors:
    """Points uniform on the sphere, shape (count, 3).

    `hemi` above 0 keeps them in the northern hemisphere, below 0 in the southern.
    """
    points = np.random.default_rng(seed).normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    if hemi:
        points[:, 2] = math.copysign(1.0, hemi) * np.abs(points[:, 2])
    return points


def rand_cone_xyz(direction: npt.ArrayLike, open_angle: float, count: int, seed: Seed = None) -> Vectors:
    """Points uniform in the cone of full opening `open_angle`, radians, around a direction; shape (count, 3)."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(math.cos(open_angle / 2), 1.0, count)
    azimuth = rng.uniform(0.0, 2 * math.pi, count)
    ring = np.sqrt(1.0 - z * z)
    return np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z], axis=1) @ frame(direction)


def frame(direction: npt.ArrayLike) -> Vectors:
    """Three unit vectors at right angles, shape (3, 3), the last of them along `direction`."""
    axis = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    # Crossed with the coordinate axis that it is farthest from, so that nothing cancels.
    first = np.cross(np.eye(3)[np.argmin(np.abs(axis))], axis)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(axis, first), axis])
