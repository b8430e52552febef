"""The partition of a world at a moment, from its two files and nothing else."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np


def objects_at(world: Path, moment: datetime) -> dict[int, int]:
    """Return the object of every supervoxel."""
    keys = np.load(world / "graph/supervoxels.npy").tolist()
    owner = dict(zip(keys, np.load(world / "graph/initial_object.npy").tolist(), strict=True))
    fresh = max(owner.values())
    for line in (world / "graph/edits.jsonl").read_text().splitlines():
        edit = json.loads(line)
        if datetime.fromisoformat(edit["timestamp"]) > moment:
            break
        if edit["type"] == "merge":
            gone = {owner[one] for one in edit["supervoxels"]}
            changed = [key for key, value in owner.items() if value in gone]
            owner.update(dict.fromkeys(changed, fresh := fresh + 1))
        else:
            old, leaving = owner[edit["from"]], set(edit["split_off"])
            stay = [key for key, value in owner.items() if value == old and key not in leaving]
            owner.update(dict.fromkeys(stay, fresh := fresh + 1))
            owner.update(dict.fromkeys(leaving, fresh := fresh + 1))
    return owner


def same_partition(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two labelings agree on which places share a label."""
    pairs = {(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
