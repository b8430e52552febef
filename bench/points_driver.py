"""Looks supervoxels up with cloud-volume, in an environment of its own: `points_driver.py VOLUME POINTS.npy OUT.npy`.

For each line on standard input it looks all points up once, as the materialization service does, and answers with a
line of JSON. The labels of the last look-up are left in OUT.npy, in the order of the points. Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from cloudvolume import CloudVolume

BATCH = 50
"""Points of one call, and below bytes of the client's cache and its encoding: the service's own settings."""

CACHE = 100_000_000


def look_up(path: str, points: np.ndarray) -> np.ndarray:
    """The label at each voxel of shape (n, 3)."""
    volume = CloudVolume(
        path, mip=0, bounded=False, fill_missing=True, progress=False, lru_bytes=CACHE, lru_encoding="crackle"
    )
    found = np.empty(len(points), dtype=np.uint64)
    for start in range(0, len(points), BATCH):
        some = points[start : start + BATCH]
        labels = volume.scattered_points([tuple(map(int, point)) for point in some])
        by_voxel = {tuple(map(int, voxel)): label for voxel, label in labels.items()}
        found[start : start + BATCH] = [by_voxel[tuple(map(int, point))] for point in some]
    return found


def main() -> None:
    """Answer until the input ends."""
    path, points_file, out = sys.argv[1:]
    points = np.load(points_file)
    for _ in sys.stdin:
        cpu, began = time.process_time(), time.perf_counter()
        found = look_up(path, points)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        np.save(out, found)
        print(json.dumps({"seconds": seconds, "cpu": cpu}), flush=True)


if __name__ == "__main__":
    main()
