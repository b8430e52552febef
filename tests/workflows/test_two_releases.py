"""Two releases side by side, as while pods are replaced: an earlier commit's real code and ours on one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from materializationengine.domain.plan import RunStatus
from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.storage.live_database import known_layouts, layout
from tests.harness import SYNAPSE_MAPPING, Engine, ends
from tests.oracle import Oracle, same_partition
from tests.workflows.workers import APP, ROOT, kill_all, wait_for, worker

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
OLD = "e8b468bffc34934fcbb3161fa8864d723899a7a1"
"""A commit whose databases have an earlier layout, and whose plans know less than ours."""

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
DAY30 = BIRTH + timedelta(days=30)


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they were."""
    folder = tmp_path_factory.mktemp("old")
    command = ["git", "-C", str(ROOT), "archive", OLD, "materializationengine", "localcave", "l1dbproto"]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        reason = f"the history does not hold {OLD}: {made.stderr.decode().strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=made.stdout, check=True)
    return folder


@pytest.fixture
def environ(postgres: PrivateCluster, redis: PrivateRedis, engine: Engine) -> dict[str, str]:
    return {
        "SQLALCHEMY_DATABASE_URI": postgres.url,
        "REDIS_URL": redis.url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "MATERIALIZATION_SWEEP_EVERY": "0.5",
        "MATERIALIZATION_RESEND": "1",
        "MATERIALIZATION_RETRY_DELAY": "0.2",
        "MATERIALIZATION_INGEST_BATCH": "500",
        "MATERIALIZATION_LOOKUP_BATCH": "100",
    }


def old_matengine(code: Path, environ: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the earlier release."""
    return subprocess.run(
        [sys.executable, "-m", "materializationengine.cli", *words],
        cwd=code,
        env={**os.environ, **environ, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@contextmanager
def old_worker(code: Path, environ: Mapping[str, str], log: Path) -> Iterator[None]:
    """A worker of the earlier release."""
    words = ["-m", "celery", f"--app={APP}", "worker", "--queues=celery,process,workflow", "--concurrency=1"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *words, "-Ofair", "--without-gossip", "--without-mingle", "--loglevel=INFO"],
            cwd=code,
            env={**os.environ, **environ, "PYTHONPATH": str(code)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield
        finally:
            kill_all(process)


def test_a_run_goes_on_when_the_release_changes_under_it(
    engine: Engine, environ: dict[str, str], old_code: Path, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    cluster, live = engine.services.cluster, f"{datastack}_volume"
    engine.load(small_world, datastack, DAY30)
    (tmp_path / "mapping.json").write_text(json.dumps(SYNAPSE_MAPPING))
    words = ["--schema", "synapse", "--path", str(small_world / "annotations/synapses"), "--created", BIRTH.isoformat()]
    upload = [
        "run",
        "bulk-upload",
        datastack,
        "synapses",
        *words,
        "--mapping",
        str(tmp_path / "mapping.json"),
        "--wait",
    ]
    complete = ["run", "complete", datastack, "--timestamp", DAY30.isoformat(), "--json"]

    with old_worker(old_code, environ, tmp_path / "old.log"):
        done = old_matengine(old_code, environ, *upload)
        assert done.returncode == 0, done.stderr
    assert layout(cluster, live).state == "to be upgraded"

    # The old web starts a run, of which the old worker may do a part; then only new workers are left.
    with old_worker(old_code, environ, tmp_path / "old.log"):
        started = old_matengine(old_code, environ, *complete)
        assert started.returncode == 0, started.stderr
    with worker(environ, tmp_path / "new.log", concurrency=1):
        first = wait_for(engine, json.loads(started.stdout)["id"], 300)
        assert (first.status, first.version) == (RunStatus.SUCCEEDED, 1), first.error
    assert layout(cluster, live).current == known_layouts()[0]
    rows = engine.frozen(datastack, 1)
    assert same_partition(ends(rows, "root_id"), Oracle(small_world).objects_of(ends(rows, "supervoxel_id"), DAY30))

    # From now on the old release refuses to begin anything here.
    refused = old_matengine(old_code, environ, *complete)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1 and "newer than this code knows" in refused.stderr
