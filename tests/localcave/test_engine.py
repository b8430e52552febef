"""Edits from the real client, then a complete workflow: its version is what a brute-force replay of them says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import requests

from materializationengine.domain.plan import RunKind
from tests.harness import Engine, copy_world, ends

from .clients import editing_task, run_driver
from .replay import same_partition
from .scene import Scene
from .test_invariants import Components

BIRTH = datetime(2026, 1, 1, tzinfo=UTC)
DRAWN = 12


@pytest.fixture
def edited(engine: Engine, datastack: str, world: Path, tmp_path: Path) -> Path:
    """A world without a history of its own, with its synapses uploaded."""
    folder = copy_world(world, tmp_path / "world", edits=False)
    engine.load(folder, datastack)
    engine.upload_synapses(folder, datastack, BIRTH)
    return folder


def log_of(url: str, datastack: str) -> list[SimpleNamespace]:
    """Return the edges that each operation added or removed, by what the service tells."""
    table = f"{url}/segmentation/api/v1/table/{datastack}_pcg"
    numbers = list(requests.get(f"{table}/tabular_change_log_recent", timeout=10).json()["operation_id"].values())
    options = {"operation_ids": str(numbers)}
    details = requests.get(f"{table}/operation_details", params=options, timeout=10).json()
    flat = lambda edges: [end for edge in edges for end in edge]  # noqa: E731
    return [
        SimpleNamespace(added=flat(one.get("added_edges", [])), removed=flat(one.get("removed_edges", [])))
        for one in (details[str(number)] for number in sorted(numbers))
    ]


def test_a_complete_workflow_after_edits_by_the_client(
    engine: Engine, datastack: str, edited: Path, tmp_path: Path
) -> None:
    scene, ids = Scene(edited), np.load(edited / "graph/supervoxels.npy")
    url, table = engine.neighbors.url, f"{datastack}_pcg"
    for first, second in scene.contacts[:: len(scene.contacts) // DRAWN]:
        body = [first.nm(), second.nm()]
        requests.post(f"{url}/segmentation/api/v1/table/{table}/merge", json=body, timeout=20)
    before = Components(edited)
    for operation in log_of(url, datastack):
        before.apply(operation)
    label = dict(zip(ids.tolist(), before.labels(), strict=True))
    task = editing_task(datastack, scene, ids, label)
    report = run_driver("edit_driver.py", tmp_path, url, task=task)
    version = engine.run(RunKind.COMPLETE, datastack, as_of=datetime.now(UTC)).version
    replay = Components(edited)
    operations = log_of(url, datastack)
    for operation in operations:
        replay.apply(operation)
    assert len(operations) > DRAWN / 2
    assert same_partition(np.array(report["after_undo"]), np.array(replay.labels()))
    truth = np.load(edited / "truth/supervoxels.npy")
    expected = {**dict(zip(ids.tolist(), replay.labels(), strict=True)), 0: 0}
    frozen = ends(engine.frozen(datastack, version), "root_id")
    assert same_partition(frozen.ravel(), np.array([expected[one] for one in truth.ravel().tolist()]))
    assert ((frozen == 0) == (truth == 0)).all()
