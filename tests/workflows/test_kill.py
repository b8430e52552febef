"""kill -9 at every unit of every workflow: the run ends by itself, and equal to an undisturbed one."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import redis as redis_client

from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.storage.ledger import Message
from materializationengine.workflows.actions import ACTIONS
from materializationengine.workflows.celery_app import create_celery
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest, UploadRequest
from materializationengine.workflows.sweeper import Rounds
from tests.harness import SYNAPSE_MAPPING, Engine, ends
from tests.oracle import same_partition
from tests.workflows.workers import CRASHING_APP, wait_for, worker

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
NOT_PLAYED = {"dummy.wait", "ingest.prepare", "ingest.look_up_given", "bad_roots.remove"} | {
    action for action in ACTIONS if action.startswith(("missing_roots.", "retire."))
}
"""Actions of the workflows that `requests` does not play: they change single rows, or end versions."""

ENGINE_ACTIONS = sorted(set(ACTIONS) - NOT_PLAYED)


@pytest.fixture
def environ(postgres: PrivateCluster, redis: PrivateRedis, engine: Engine) -> dict[str, str]:
    return {
        "SQLALCHEMY_DATABASE_URI": postgres.url,
        "REDIS_URL": redis.url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "MATERIALIZATION_SWEEP_EVERY": "0.3",
        "MATERIALIZATION_RESEND": "1",
        "MATERIALIZATION_RETRY_DELAY": "0.2",
        "MATERIALIZATION_UPLOAD_BATCH": "700",
        "MATERIALIZATION_INGEST_BATCH": "700",
        "MATERIALIZATION_LOOKUP_BATCH": "100",
    }


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


def requests(world: Path, datastack: str) -> Iterator[RunRequest]:
    """Every workflow once, so that the last version depends on all of them."""
    columns = str(world / "annotations/synapses")
    upload = UploadRequest("synapses", "synapse", columns, SYNAPSE_MAPPING, created=BIRTH)
    yield RunRequest(RunKind.BULK_UPLOAD, datastack, upload=upload)
    yield RunRequest(RunKind.INGEST, datastack, as_of=day(0))
    yield RunRequest(RunKind.UPDATE_ROOTS, datastack, as_of=day(30))
    yield RunRequest(RunKind.FREEZE, datastack, as_of=day(30))
    yield RunRequest(RunKind.COMPLETE, datastack, as_of=day(60))
    yield RunRequest(RunKind.INCREMENTAL, datastack, as_of=day(61), base_version=1)
    yield RunRequest(RunKind.INCREMENTAL, datastack, base_version=1, mends=2)


def play(engine: Engine, environ: dict[str, str], world: Path, datastack: str, seconds: float) -> list[RunRecord]:
    """Run every workflow, one after the other, by workers that die as they are told."""
    send = create_celery(Settings.from_env(environ)).send
    records = []
    for request in requests(world, datastack):
        record = launch(engine.services, request, send)
        records.append(wait_for(engine, record.id, seconds))
        assert records[-1].status is RunStatus.SUCCEEDED, records[-1].error
    return records


def expected(engine: Engine, world: Path, datastack: str) -> list[pa.Table]:
    """The versions of the same runs in this process."""
    engine.load(world, datastack)
    versions = [engine.run(**_fields(request)).version for request in requests(world, datastack)]
    return [engine.frozen(datastack, version) for version in versions if version is not None]


def _fields(request: RunRequest) -> dict[str, object]:
    names = ("kind", "datastack", "as_of", "upload", "base_version", "mends")
    return {name: getattr(request, name) for name in names}


@pytest.mark.parametrize("point", ["claimed", "worked", "committed"])
def test_a_worker_killed_once_at_every_unit(
    engine: Engine, environ: dict[str, str], small_world: Path, datastack: str, tmp_path: Path, point: str
) -> None:
    engine.load(small_world, datastack)
    places = ",".join(f"{point} {action}" for action in ENGINE_ACTIONS)
    crashing = {**environ, "CRASH_AT": places, "CRASH_FOLDER": str(tmp_path)}
    with worker(crashing, tmp_path / "worker.log", CRASHING_APP):
        records = play(engine, environ, small_world, datastack, 120)
    met = {path.name for path in tmp_path.iterdir()} - {"worker.log"}
    assert met == {f"{point} {action}" for action in ENGINE_ACTIONS}
    assert_equal_to_undisturbed(engine, small_world, datastack, records)


ALL_KILLED = ["bulk_load.load", "update_roots.apply", "freeze.publish"]


@pytest.mark.parametrize("action", ALL_KILLED)
def test_all_workers_killed_and_started_again(
    engine: Engine, environ: dict[str, str], small_world: Path, datastack: str, tmp_path: Path, action: str
) -> None:
    engine.load(small_world, datastack)
    crashing = {**environ, "CRASH_AT": f"worked {action}", "CRASH_FOLDER": str(tmp_path), "CRASH_ALL": "true"}
    with ExitStack() as stack:
        doomed = stack.enter_context(worker(crashing, tmp_path / "worker.log", CRASHING_APP))
        stack.enter_context(Reviver(doomed, environ, tmp_path))
        records = play(engine, environ, small_world, datastack, 120)
    assert (tmp_path / f"worked {action}").exists()
    assert_equal_to_undisturbed(engine, small_world, datastack, records)


class Reviver:
    """Starts an ordinary worker as soon as the doomed one is gone, as an operator's supervisor would."""

    def __init__(self, doomed: subprocess.Popen[bytes], environ: dict[str, str], folder: Path) -> None:
        self._doomed, self._environ, self._folder = doomed, environ, folder
        self._stack, self._over = ExitStack(), threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            if self._doomed.poll() is not None:
                self._stack.enter_context(worker(self._environ, self._folder / "revived.log"))
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._stack.close()


def assert_equal_to_undisturbed(engine: Engine, world: Path, datastack: str, records: list[RunRecord]) -> None:
    found = [engine.frozen(datastack, record.version) for record in records if record.version is not None]
    for version, reference in zip(found, expected(engine, world, f"{datastack}_calm"), strict=True):
        assert version.drop_columns(_roots(version)).equals(reference.drop_columns(_roots(reference)))
        assert _same_roots(version, reference)
    rounds = Rounds(engine.services)
    rounds(resend=0)
    rounds.close()
    with engine.services.cluster.connect() as home:
        builds = [
            name for (name,) in home.rows("SELECT datname FROM pg_database WHERE datname LIKE 'matengine_build%'")
        ]
    assert not [name for name in builds if any(record.id in name for record in records)]
    with engine.services.cluster.connect(f"{datastack}_volume") as live:
        assert live.value("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'stage%'") == 0
        assert live.value("SELECT count(*) FROM matengine.unit WHERE status <> 'DONE'") == 0


def _roots(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name.endswith("root_id")]


def _same_roots(one: pa.Table, other: pa.Table) -> bool:
    return same_partition(ends(one, "root_id"), ends(other, "root_id"))


def test_a_message_delivered_twice_and_late_changes_nothing(engine: Engine, small_world: Path, datastack: str) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.COMPLETE, datastack, as_of=day(1)), queue)
    delivered: list[Message] = []
    while queue:
        message = queue.pop(0)
        delivered.append(message)
        queue += _deliver(engine, message)
        assert _deliver(engine, message) == []
    for message in delivered:
        assert _deliver(engine, message) == []
    done = wait_for(engine, record.id, 1)
    assert done.status is RunStatus.SUCCEEDED
    assert all(unit.attempt == 1 for unit in done.units)


def _deliver(engine: Engine, message: Message) -> list[Message]:
    return run_unit(engine.services, message.database, message.unit, "tests")


def test_redis_loses_every_message(
    engine: Engine, environ: dict[str, str], redis: PrivateRedis, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    engine.load(small_world, datastack)
    send = create_celery(Settings.from_env(environ)).send
    upload = next(requests(small_world, datastack))
    record = launch(engine.services, upload, send)
    redis_client.Redis.from_url(redis.url).flushall()
    with worker(environ, tmp_path / "worker.log"):
        time.sleep(3)
        redis_client.Redis.from_url(redis.url).flushall()
        assert wait_for(engine, record.id, 120).status is RunStatus.SUCCEEDED
