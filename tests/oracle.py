"""The answer, from the edit log alone: imports neither the engine nor local CAVE."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np


class Oracle:
    """Replays a world's history. Objects are numbered as the replay goes; only the partition has a meaning."""

    def __init__(self, world: Path) -> None:
        self.supervoxels = np.load(world / "graph/supervoxels.npy").astype(np.int64)
        self._initial = np.load(world / "graph/initial_object.npy").astype(np.int64)
        self._edits = world / "graph/edits.jsonl"

    def objects(self, moment: datetime) -> np.ndarray:
        """The object of each supervoxel at a moment, aligned with `supervoxels`."""
        owner = self._initial.copy()
        for line in self._edits.read_text().splitlines():
            edit = json.loads(line)
            if datetime.fromisoformat(edit["timestamp"]) <= moment:
                self._apply(owner, edit)
        return owner

    def _apply(self, owner: np.ndarray, edit: dict) -> None:
        fresh = owner.max() + 1
        if edit["type"] == "merge":
            first, second = (owner[self._place(one)] for one in edit["supervoxels"])
            owner[(owner == first) | (owner == second)] = fresh
        else:
            whole = owner == owner[self._place(edit["from"])]
            owner[whole] = fresh
            owner[np.searchsorted(self.supervoxels, np.array(edit["split_off"], dtype=np.int64))] = fresh + 1

    def _place(self, supervoxel: int) -> int:
        return int(np.searchsorted(self.supervoxels, supervoxel))

    def objects_of(self, supervoxels: np.ndarray, moment: datetime) -> np.ndarray:
        """The object of given supervoxels, of any shape; 0 for background."""
        places = np.searchsorted(self.supervoxels, supervoxels).clip(max=len(self.supervoxels) - 1)
        return np.where(supervoxels == 0, 0, self.objects(moment)[places])


def same_partition(roots: np.ndarray, objects: np.ndarray) -> bool:
    """Whether two labelings agree on which places share a label, and on which are background."""
    pairs = np.unique(np.stack([roots.ravel(), objects.ravel()], axis=1), axis=0)
    one_to_one = len(np.unique(pairs[:, 0])) == len(pairs) == len(np.unique(pairs[:, 1]))
    return bool(one_to_one and ((roots == 0) == (objects == 0)).all())
