"""Two releases side by side, as while pods are replaced: an earlier commit's real code and ours on one run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests

from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.processes import free_port, wait_until
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.stack import programs
from materializationengine.storage.live_database import known_layouts, layout, live_databases
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.execute import run_unit
from tests.harness import SYNAPSE_MAPPING, Engine, ends
from tests.oracle import Oracle, same_partition
from tests.workflows.workers import APP, ROOT, kill_all, wait_for, worker

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
OLD = "e8b468bffc34934fcbb3161fa8864d723899a7a1"
"""A commit whose databases have an earlier layout, and whose plans know less than ours."""

KEYED = "0bbf73cf5c99ca7a971f63287d1a1ddb834caa3b"
"""A commit of our layout whose index step makes keys, and whose update takes for granted that a root is dated once."""

NEXT = '''"""What the next release adds."""

from alembic import op

revision = "9001"
down_revision = "{newest}"


def upgrade() -> None:
    op.execute("CREATE TABLE matengine.of_the_next_release (id int)")
'''

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
DAY30, DAY40 = BIRTH + timedelta(days=30), BIRTH + timedelta(days=40)


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they were."""
    return code_of(OLD, tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def keyed_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they were later, in the layout of today."""
    return code_of(KEYED, tmp_path_factory.mktemp("keyed"))


def code_of(commit: str, folder: Path) -> Path:
    """The packages of a commit, unpacked."""
    command = ["git", "-C", str(ROOT), "archive", commit, "materializationengine", "localcave", "l1dbproto"]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        reason = f"the history does not hold {commit}: {made.stderr.decode().strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=made.stdout, check=True)
    return folder


@pytest.fixture(scope="module")
def next_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they will be: ours, with one more change of the layout."""
    folder = tmp_path_factory.mktemp("next")
    for package in ("materializationengine", "localcave", "l1dbproto"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    migrations = folder / "materializationengine/storage/migrations/versions"
    (migrations / "9001_next.py").write_text(NEXT.format(newest=known_layouts()[0]))
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


def matengine_of(code: Path, environ: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """A command of another release."""
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
def process_of(code: Path, environ: Mapping[str, str], log: Path, words: list[str]) -> Iterator[None]:
    """A process of another release, killed at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *words],
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


def worker_of(code: Path, environ: Mapping[str, str], log: Path) -> AbstractContextManager[None]:
    """A worker of another release."""
    words = ["-m", "celery", f"--app={APP}", "worker", "--queues=celery,process,workflow", "--concurrency=1"]
    return process_of(code, environ, log, [*words, "-Ofair", "--without-gossip", "--without-mingle", "--loglevel=INFO"])


@contextmanager
def web_of(code: Path, environ: Mapping[str, str], log: Path) -> Iterator[str]:
    """A web process of another release; its address."""
    address = f"127.0.0.1:{free_port()}"
    with process_of(code, {**environ, "AUTH_DISABLED": "true"}, log, programs.web(address)):
        assert wait_until(lambda: _lives(address), 60), log.read_text()
        yield f"http://{address}"


def _lives(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/health/live", timeout=5).ok
    except requests.RequestException:
        return False


def upload_words(world: Path, datastack: str, folder: Path) -> list[str]:
    """The command that uploads a world's synapses."""
    (folder / "mapping.json").write_text(json.dumps(SYNAPSE_MAPPING))
    columns = ["--path", str(world / "annotations/synapses"), "--mapping", str(folder / "mapping.json")]
    words = ["run", "bulk-upload", datastack, "synapses", "--schema", "synapse", *columns]
    return [*words, "--created", BIRTH.isoformat(), "--wait"]


def is_true_of(engine: Engine, world: Path, datastack: str, version: int, moment: datetime) -> bool:
    """Whether a version agrees with the edit log."""
    rows = engine.frozen(datastack, version)
    told = Oracle(world).objects_of(ends(rows, "supervoxel_id"), moment)
    return bool(same_partition(ends(rows, "root_id"), told))


def test_a_run_goes_on_when_the_release_changes_under_it(
    engine: Engine, environ: dict[str, str], old_code: Path, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    cluster, live = engine.services.cluster, f"{datastack}_volume"
    engine.load(small_world, datastack, DAY30)
    upload = upload_words(small_world, datastack, tmp_path)
    complete = ["run", "complete", datastack, "--timestamp", DAY30.isoformat(), "--json"]

    with worker_of(old_code, environ, tmp_path / "old.log"):
        done = matengine_of(old_code, environ, *upload)
        assert done.returncode == 0, done.stderr
    assert layout(cluster, live).state == "to be upgraded"

    # The old web starts a run, of which the old worker may do a part; then only new workers are left.
    with worker_of(old_code, environ, tmp_path / "old.log"):
        started = matengine_of(old_code, environ, *complete)
        assert started.returncode == 0, started.stderr
    with worker(environ, tmp_path / "new.log", concurrency=1):
        first = wait_for(engine, json.loads(started.stdout)["id"], 300)
        assert (first.status, first.version) == (RunStatus.SUCCEEDED, 1), first.error
    assert layout(cluster, live).current == known_layouts()[0]
    assert is_true_of(engine, small_world, datastack, 1, DAY30)

    # From now on the old release refuses to begin anything here.
    refused = matengine_of(old_code, environ, *complete)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1 and "newer than this code knows" in refused.stderr


@pytest.fixture
def layouts_again(engine: Engine) -> Iterator[None]:
    """The next release upgrades every live database there is, those of other tests too: that is taken back."""
    yield
    cluster = engine.services.cluster
    for database in live_databases(cluster):
        if layout(cluster, database).newer:
            with cluster.connect(database) as connection:
                connection.execute("DROP TABLE matengine.of_the_next_release")
                connection.execute("UPDATE matengine.alembic_version SET version_num = $1", known_layouts()[0])
                connection.commit()


@pytest.mark.usefixtures("layouts_again")
def test_a_new_web_takes_over_beside_workers_of_the_old_release(
    engine: Engine, environ: dict[str, str], next_code: Path, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    """With a run in flight: old workers end what they have begun and take no more; what the new web starts, waits."""
    live = f"{datastack}_volume"
    engine.load(small_world, datastack)
    with ExitStack() as stack:
        stack.enter_context(worker(environ, tmp_path / "old.log", concurrency=1))
        done = matengine_of(ROOT, environ, *upload_words(small_world, datastack, tmp_path))
        assert done.returncode == 0, done.stderr
        web = stack.enter_context(web_of(next_code, environ, tmp_path / "web.log"))
        engine.neighbors.faults(latency_ms=700)
        stack.callback(engine.neighbors.mend)
        complete = ["run", "complete", datastack, "--timestamp", DAY30.isoformat(), "--json"]
        run = json.loads(matengine_of(ROOT, environ, *complete).stdout)["id"]
        assert layout(engine.services.cluster, live).current == known_layouts()[0]

        body = {"kind": "complete", "datastack": datastack, "timestamp": DAY40.isoformat()}
        refused = requests.post(f"{web}/materialize/api/v3/runs", json=body, timeout=60)
        assert refused.status_code == 409 and run in refused.text, refused.text
        assert layout(engine.services.cluster, live).current == "9001"
        engine.neighbors.mend()
        time.sleep(8)
        waiting = requests.get(f"{web}/materialize/api/v3/runs/{run}", timeout=60).json()
        assert (waiting["status"], waiting["error"]) == ("RUNNING", None)

        stack.enter_context(worker_of(next_code, environ, tmp_path / "new.log"))
        first = wait_for(engine, run, 300)
        assert (first.status, first.version) == (RunStatus.SUCCEEDED, 1), first.error
        started = requests.post(f"{web}/materialize/api/v3/runs", json=body, timeout=60)
        assert started.status_code == 202, started.text
        second = wait_for(engine, started.json()["id"], 300)
        assert (second.status, second.version) == (RunStatus.SUCCEEDED, 2), second.error
    assert is_true_of(engine, small_world, datastack, 1, DAY30) and is_true_of(engine, small_world, datastack, 2, DAY40)


def has_key(engine: Engine, database: str, table: str) -> bool:
    """Whether a table has a primary key."""
    with engine.services.cluster.connect(database) as connection:
        statement = "SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND conrelid = $1::regclass"
        return bool(connection.value(statement, table))


def do_units(engine: Engine, database: str, until: str) -> None:
    """Do units of this release until the next one is of an action."""
    queue = engine._due(database)
    while queue[0].action != until:
        queue += run_unit(engine.services, database, queue.pop(0).unit, "tests")
        queue = queue or engine._due(database)


def test_a_version_has_its_keys_whoever_indexes_and_whoever_publishes(
    engine: Engine, environ: dict[str, str], keyed_code: Path, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    live = f"{datastack}_volume"
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)

    # The older release plans; ours does all but the publication.
    words = ["run", "complete", datastack, "--timestamp", DAY30.isoformat(), "--json"]
    started = matengine_of(keyed_code, environ, *words)
    assert started.returncode == 0, started.stderr
    run = json.loads(started.stdout)["id"]
    do_units(engine, live, "update_roots.apply")
    assert has_key(engine, live, f"matengine.stage_{run}_born")
    do_units(engine, live, "freeze.publish")
    with worker_of(keyed_code, environ, tmp_path / "old.log"):
        first = wait_for(engine, run, 120)
    assert (first.status, first.version) == (RunStatus.SUCCEEDED, 1), first.error
    assert has_key(engine, f"{datastack}__mat1", "synapses")

    # Ours plans, and does all but the publication: the older one leaves that alone.
    run = engine.start_only(RunKind.COMPLETE, datastack, as_of=DAY40)
    do_units(engine, live, "update_roots.apply")
    assert not has_key(engine, live, f"matengine.stage_{run}_born")
    do_units(engine, live, "freeze.publish")
    with worker_of(keyed_code, environ, tmp_path / "old.log"):
        left = "unit is left to the workers of a newer release"
        assert wait_until(lambda: left in (tmp_path / "old.log").read_text(), 60)
        time.sleep(1)
        assert find_run(engine.services.cluster, run, units=False).status is RunStatus.RUNNING
    with worker(environ, tmp_path / "new.log", concurrency=1):
        second = wait_for(engine, run, 120)
    assert (second.status, second.version) == (RunStatus.SUCCEEDED, 2), second.error
    assert has_key(engine, f"{datastack}__mat2", "synapses")
    assert is_true_of(engine, small_world, datastack, 1, DAY30) and is_true_of(engine, small_world, datastack, 2, DAY40)
