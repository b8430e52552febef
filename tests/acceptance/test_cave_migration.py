"""From CAVE and back: its packages make a database, ours adopts, serves and extends it, and theirs go on with it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from materializationengine.cli import main
from materializationengine.domain.plan import RunKind
from materializationengine.gateways.chunkedgraph import HttpChunkedGraph
from materializationengine.kernel import moments
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from materializationengine.workflows.requests import UploadRequest
from tests.docs.pages import commands
from tests.harness import SYNAPSE_MAPPING, Engine
from tests.oracle import Oracle, same_partition
from tests.workflows.workers import ROOT, worker

PYTHON = ROOT / ".venv-legacy/bin/python"
DRIVER = ROOT / "tests/environments/legacy_database.py"
PAGE = ROOT / "docs/how-to/migrate-from-cave.md"
BIRTH = moments.parse("2026-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Lab:
    """A laboratory that runs CAVE: its datastack, the points it marked, and what its database was told."""

    engine: Engine
    stack: str
    world: Path
    points: list[list[int]]
    told: dict[str, Any]
    ids: list[int]

    def cave(self, deed: str, **more: Any) -> Any:
        """What CAVE's packages do in the live database."""
        return cave({**self.told, "deed": deed, "ids": self.ids, **more})


def cave(told: dict[str, Any]) -> Any:
    done = subprocess.run(
        [str(PYTHON), str(DRIVER)], input=json.dumps(told), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture
def lab(engine: Engine, small_world: Path, datastack: str) -> Iterator[Lab]:
    if not PYTHON.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(".venv-legacy is missing; `make setup-clients`")
        pytest.skip(".venv-legacy is missing; `make setup-clients`")
    engine.load(small_world, datastack)
    about = engine.services.datastacks.get(datastack)
    settings = engine.services.settings
    points = np.load(small_world / "annotations/synapses/presyn_coords.npy")[:40].tolist()
    graph = HttpChunkedGraph(settings.graph_server, about.pcg_table, None)
    supervoxels = engine.services.segmentation(about).supervoxels(np.array(points[:3]), about.viewer_resolution)
    roots = graph.roots(supervoxels.ids, BIRTH + timedelta(days=1)).roots
    told = {
        "url": settings.database_url.replace("postgresql+psycopg2", "postgresql"),
        "volume": about.aligned_volume,
        "datastack": datastack,
        "pcg": about.pcg_table,
        "points": points,
        "resolution": dict(zip([f"voxel_resolution_{axis}" for axis in "xyz"], about.viewer_resolution, strict=True)),
        "bound": [[int(s), int(r)] for s, r in zip(supervoxels.ids, roots, strict=True)],
        "bound_at": moments.naive(BIRTH + timedelta(days=1)).isoformat(),
    }
    yield Lab(engine, datastack, small_world, points, told, cave({**told, "deed": "make"})["ids"])


def follow(page: Path, lab: Lab, redis: PrivateRedis, tmp_path: Path) -> list[str]:
    """Carry out the page's commands with real workers; what each printed."""
    settings = lab.engine.services.settings
    environ = {
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "LOCAL_SERVER_URL": settings.local_server,
        "REDIS_URL": redis.url,
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "COLUMNS": "200",
    }
    printed = []
    with worker(environ, tmp_path / "log", concurrency=1):
        for line in (line for line in commands(page) if line.startswith("matengine ")):
            words = line.replace("minnie65", lab.stack).split()[1:]
            done = CliRunner().invoke(main, words, env=environ)
            assert done.exit_code == 0, f"{line}: {done.output}"
            printed.append(done.output)
    return printed


def tags(lab: Lab, version: int) -> dict[int, tuple[int, int]]:
    """Supervoxel and root of each tag of a version."""
    rows = lab.engine.frozen(lab.stack, version, "tags")
    columns = (rows[name].to_pylist() for name in ("id", "pt_supervoxel_id", "pt_root_id"))
    return {id_: (supervoxel, root) for id_, supervoxel, root in zip(*columns, strict=True)}


def test_a_laboratory_moves_and_may_go_on_with_cave(lab: Lab, redis: PrivateRedis, tmp_path: Path) -> None:
    engine, stack = lab.engine, lab.stack
    printed = follow(PAGE, lab, redis, tmp_path)
    assert "41" in printed[-1] and "42" in printed[-1]

    # Every living row, the deleted one not, true by the edit log; what CAVE had bound keeps its supervoxel.
    found = tags(lab, 42)
    assert sorted(found) == sorted({*lab.ids} - {lab.ids[1]})
    supervoxels, roots = np.array(list(found.values())).T
    assert same_partition(roots, Oracle(lab.world).objects_of(supervoxels, moments.now()))
    assert found[lab.ids[0]][0] == lab.told["bound"][0][0]
    assert engine.frozen(stack, 42, "synapses").num_rows == len(lab.points) - 1
    assert engine.frozen(stack, 42, "cells")["pt_root_id"].null_count == 0
    assert engine.frozen(stack, 42, "types")["target_id"].to_pylist() == [lab.ids[0]]

    # CAVE still reads all of it, and goes on writing; ours sees what it wrote.
    seen = lab.cave("read")
    assert {id_: tuple(pair) for id_, pair in seen["roots"].items() if int(id_) in found} == {
        str(id_): pair for id_, pair in found.items()
    }
    assert seen["tables"] == ["cells", "synapses", "tags", "types"]
    assert (seen["versions"], seen["alembic"]) == ([f"{stack}__mat41", f"{stack}__mat42"], "fac66b439033")
    written = lab.cave("write")
    engine.run(RunKind.COMPLETE, stack)
    after = tags(lab, 43)
    assert written["added"] in after and lab.ids[2] not in after
    assert all(root > 0 for _, root in after.values())
    assert engine.frozen(stack, 43, "late")["id"].to_pylist() == [written["late"]]

    # And ours extends it: a table of our own beside CAVE's, which CAVE lists.
    columns = str(lab.world / "annotations/synapses")
    upload = UploadRequest("ours", "synapse", columns, SYNAPSE_MAPPING, created=moments.now())
    engine.run(RunKind.BULK_UPLOAD, stack, upload=upload)
    assert lab.cave("read")["tables"] == ["cells", "late", "ours", "synapses", "tags", "types"]


def test_the_frozen_version_that_cave_made_is_served(lab: Lab) -> None:
    settings = lab.engine.services.settings
    app = create_app(replace(settings, auth_disabled=True))
    try:
        client = app.test_client()
        base = f"/materialize/api/v3/datastack/{lab.stack}"
        assert client.get(f"{base}/versions").json == [41]
        answer = client.post(f"{base}/version/41/table/tags/query?return_pyarrow=false", json={})
        assert answer.status_code == 200, answer.text
        rows = {row["id"]: row for row in answer.json}
        assert rows[lab.ids[0]]["pt_root_id"] == lab.told["bound"][0][1]
    finally:
        parts(app).close()
