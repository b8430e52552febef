"""Running drivers in the environment of the real client."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import ROOT
from .scene import Scene

PYTHON = ROOT / ".venv-caveclient/bin/python"


def run_driver(name: str, home: Path, *arguments: str, task: object = None) -> dict[str, Any]:
    """Run a driver script with the real caveclient, and return the JSON on its last line."""
    if not PYTHON.exists() and os.environ.get("CI") != "true":
        pytest.skip("no .venv-caveclient: `make setup-clients` builds it")
    command = [str(PYTHON), str(Path(__file__).with_name(name)), *arguments]
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, input=json.dumps(task))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def editing_task(datastack: str, scene: Scene, ids: np.ndarray, owner: dict[int, int]) -> dict[str, Any]:
    """Return what `edit_driver.py` is to do: merge the largest object with one that it touches, and cut it there.

    `owner` names the object of each supervoxel.
    """
    sizes = Counter(owner.values())
    largest, _ = sizes.most_common(1)[0]
    across = [pair for pair in scene.contacts if owner[pair[0].id] == largest != owner[pair[1].id]]
    first, second = max(across, key=lambda pair: sizes[owner[pair[1].id]])
    inner = next(one for one in ids.tolist() if owner[one] == largest and one != first.id)
    return {
        "datastack": datastack,
        "resolution": [16, 16, 40],
        "shape": list(scene.volume.shape),
        "birth": "2026-01-01T00:00:00+00:00",
        "supervoxels": ids.tolist(),
        "first": asdict(first),
        "second": asdict(second),
        "split": [asdict(scene.point(inner)), asdict(second)],
    }
