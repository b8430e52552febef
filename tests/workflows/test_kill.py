"""kill -9 at every unit of every workflow: the run ends by itself, and equal to an undisturbed one."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import redis as redis_client

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.storage.ledger import Message
from materializationengine.workflows.actions import ACTIONS
from materializationengine.workflows.celery_app import create_celery
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine, Neighbors, drop_databases
from tests.workflows import chain
from tests.workflows.workers import CRASHING_APP, wait_for, worker

pytestmark = pytest.mark.timeout(900)  # dozens of deaths take their time on a busy machine

POINTS = ("claimed", "worked", "committed")
ALL_KILLED = ("bulk_load.load", "update_roots.apply", "freeze.publish")


@pytest.fixture
def environ(postgres: PrivateCluster, redis: PrivateRedis, neighbors: Neighbors) -> dict[str, str]:
    return {
        "SQLALCHEMY_DATABASE_URI": postgres.url,
        "REDIS_URL": redis.url,
        "LOCAL_SERVER_URL": neighbors.url,
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "MATERIALIZATION_SWEEP_EVERY": "0.3",
        "MATERIALIZATION_RESEND": "1",
        "MATERIALIZATION_RETRY_DELAY": "0.2",
        "MATERIALIZATION_UPLOAD_BATCH": "700",
        "MATERIALIZATION_INGEST_BATCH": "700",
        "MATERIALIZATION_LOOKUP_BATCH": "100",
    }


@pytest.fixture(scope="module")
def calm(postgres: PrivateCluster, neighbors: Neighbors, small_world: Path) -> chain.Left:
    """What the same workflows leave when nothing disturbs them."""
    environ = {"SQLALCHEMY_DATABASE_URI": postgres.url, "LOCAL_SERVER_URL": neighbors.url}
    services = Services(Settings.from_env(environ | {"MATERIALIZATION_AS_OF_MARGIN": "0"}), "tests")
    engine = Engine(services, neighbors)
    _, left = chain.play(engine, small_world, "killcalm", engine.carry_out)
    services.close()
    drop_databases(postgres.url, "killcalm")
    return left


def by_workers(engine: Engine, environ: dict[str, str], request: RunRequest) -> RunRecord:
    """Leave a request to worker processes."""
    record = launch(engine.services, request, create_celery(Settings.from_env(environ)).send)
    return wait_for(engine, record.id, 120)


def test_a_worker_killed_at_every_action_before_within_and_after(
    engine: Engine, environ: dict[str, str], small_world: Path, datastack: str, tmp_path: Path, calm: chain.Left
) -> None:
    """Each action is met by all three deaths, so a unit is taken over twice before it is done."""
    places = {f"{point} {action}" for point in POINTS for action in ACTIONS}
    crashing = {**environ, "CRASH_AT": ",".join(places), "CRASH_FOLDER": str(tmp_path)}
    with worker(crashing, tmp_path / "worker.log", CRASHING_APP):
        records, left = chain.play(engine, small_world, datastack, partial(by_workers, engine, environ))
    played = {unit.action for record in records for unit in record.units}
    assert played == set(ACTIONS)
    met = {path.name for path in tmp_path.iterdir()} - {"worker.log"}
    assert met == {f"{point} {action}" for point in POINTS for action in played}
    chain.assert_same(left, calm)
    chain.assert_nothing_left_behind(engine, datastack, records)


@pytest.mark.faults
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_once_at_every_unit_of_every_workflow(
    engine: Engine,
    environ: dict[str, str],
    small_world: Path,
    datastack: str,
    tmp_path: Path,
    calm: chain.Left,
    point: str,
) -> None:
    places = {f"{point} {action} {kind}" for action in ACTIONS for kind in RunKind}
    crashing = {**environ, "CRASH_AT": ",".join(places), "CRASH_FOLDER": str(tmp_path)}
    with worker(crashing, tmp_path / "worker.log", CRASHING_APP):
        records, left = chain.play(engine, small_world, datastack, partial(by_workers, engine, environ))
    met = {path.name for path in tmp_path.iterdir()} - {"worker.log"}
    assert met == {f"{point} {unit.action} {record.kind}" for record in records for unit in record.units}
    assert {place.split()[1] for place in met} == set(ACTIONS)
    assert {place.split()[2] for place in met} == set(RunKind)
    chain.assert_same(left, calm)
    chain.assert_nothing_left_behind(engine, datastack, records)


def test_all_workers_killed_and_started_again(
    engine: Engine, environ: dict[str, str], small_world: Path, datastack: str, tmp_path: Path, calm: chain.Left
) -> None:
    """Three times in a row, at a load, at an update of roots and at a publication."""
    places = {f"worked {action}" for action in ALL_KILLED}
    crashing = {**environ, "CRASH_AT": ",".join(places), "CRASH_FOLDER": str(tmp_path), "CRASH_ALL": "true"}
    with Reviver(crashing, tmp_path / "worker.log"):
        records, left = chain.play(engine, small_world, datastack, partial(by_workers, engine, environ))
    assert {path.name for path in tmp_path.iterdir()} - {"worker.log"} == places
    chain.assert_same(left, calm)
    chain.assert_nothing_left_behind(engine, datastack, records)


class Reviver:
    """Starts the worker anew as soon as it is gone, as an operator's supervisor would."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self._environ, self._log = environ, log
        self._stack, self._over = ExitStack(), threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        alive = self._start()
        while not self._over.wait(0.1):
            if alive.poll() is not None:
                alive = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return self._stack.enter_context(worker(self._environ, self._log, CRASHING_APP))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._stack.close()


def test_a_message_delivered_twice_and_late_changes_nothing(engine: Engine, small_world: Path, datastack: str) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, chain.BIRTH)
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.COMPLETE, datastack, as_of=chain.day(1)), queue)
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
    record = launch(engine.services, chain.upload(small_world, datastack), send)
    redis_client.Redis.from_url(redis.url).flushall()
    with worker(environ, tmp_path / "worker.log"):
        time.sleep(3)
        redis_client.Redis.from_url(redis.url).flushall()
        assert wait_for(engine, record.id, 120).status is RunStatus.SUCCEEDED
