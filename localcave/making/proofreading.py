"""A history of edits: merges of whole objects, and splits that take an exact set of supervoxels away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from localcave.ids import Ids

DAYS = 60
DAY_MS = 24 * 3_600_000
SPLITS = 0.45
NEIGHBORS = 0.8  # share of merges between objects that touch
ARBITRARY = 0.1  # share of splits that take any supervoxels, wherever they lie
TRIES = 50


@dataclass(frozen=True)
class Scene:
    """What an editor sees: supervoxels with places (n, 3), and the pairs of rows that touch between objects."""

    ids: Ids
    places: npt.NDArray[np.float64]
    touching: npt.NDArray[np.int64]


class Proofreader:
    """Edits a partition at random; every edit makes new objects."""

    def __init__(self, rng: np.random.Generator, scene: Scene, objects: npt.NDArray[np.int64]) -> None:
        self._rng, self._scene = rng, scene
        self.objects = objects.copy()
        self._next = int(objects.max()) + 1

    def edit(self) -> dict[str, Any]:
        """Change the partition and return what was done, in the words of `edits.jsonl`."""
        done = self._split() if self._rng.random() < SPLITS else None
        return done or self._merge()

    def _merge(self) -> dict[str, Any]:
        for _ in range(TRIES):
            first, second = self._pair()
            if self.objects[first] != self.objects[second]:
                joined = np.isin(self.objects, self.objects[[first, second]])
                self.objects[joined] = self._fresh()
                return {"type": "merge", "supervoxels": self._scene.ids[[first, second]].tolist()}
        done = self._split()
        if done is None:
            raise ValueError("the world has too few objects for its edits; make it larger")
        return done

    def _pair(self) -> tuple[int, int]:
        if len(self._scene.touching) and self._rng.random() < NEIGHBORS:
            first, second = self._scene.touching[self._rng.integers(len(self._scene.touching))]
            return int(first), int(second)
        first, second = self._rng.integers(len(self.objects), size=2)
        return int(first), int(second)

    def _split(self) -> dict[str, Any] | None:
        for _ in range(TRIES):
            chosen = self.objects[self._rng.integers(len(self.objects))]
            members = np.flatnonzero(self.objects == chosen)
            leaves = self._side(self._scene.places[members])
            if leaves.any() and not leaves.all():
                self.objects[members[leaves]] = self._fresh()
                self.objects[members[~leaves]] = self._fresh()
                stay = self._rng.choice(members[~leaves])
                ids = self._scene.ids
                return {"type": "split", "split_off": ids[members[leaves]].tolist(), "from": int(ids[stay])}
        return None

    def _side(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Choose the part that leaves: what lies beyond a random plane, or any supervoxels."""
        if self._rng.random() < ARBITRARY:
            return self._rng.random(len(places)) < 0.3
        along = places @ self._rng.normal(size=3)
        return along > self._rng.choice(along)

    def _fresh(self) -> int:
        self._next += 1
        return self._next - 1


def history(
    rng: np.random.Generator,
    scene: Scene,
    objects: npt.NDArray[np.int64],
    created: datetime,
    count: int,
    days: Sequence[int],
) -> tuple[list[dict[str, Any]], dict[int, npt.NDArray[np.int64]]]:
    """Return the lines of `edits.jsonl`, and the object of each supervoxel some days after the creation."""
    editor = Proofreader(rng, scene, objects)
    # Distinct moments, none of them on the hour: versions are frozen at round times.
    milliseconds = DAYS * 24 * 3_600_000
    moments = np.sort(rng.choice(milliseconds // 1000 - 1, count, replace=False)) * 1000 + rng.integers(1, 1000, count)
    lines: list[dict[str, Any]] = []
    states, coming = {}, sorted(days)
    for number, moment in enumerate(moments.tolist(), start=1):
        while coming and moment > coming[0] * DAY_MS:
            states[coming.pop(0)] = editor.objects.copy()
        stamp = (created + timedelta(milliseconds=moment)).isoformat(timespec="milliseconds")
        lines.append({"operation_id": number, "timestamp": stamp, **editor.edit()})
    return lines, {**states, **dict.fromkeys(coming, editor.objects)}
