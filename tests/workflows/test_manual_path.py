"""The manual path of the README: `python run.py`, and Celery workers by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from materializationengine.config import Settings
from materializationengine.domain.errors import ConfigurationError
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.processes import free_port, wait_until
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.kernel.urls import libpq
from materializationengine.storage.live_database import ensure
from materializationengine.workflows.celery_app import create_celery, known_queues
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine
from tests.workflows.workers import kill_all, wait_for

ROOT = Path(__file__).parents[2]


def start(*words: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def answers(url: str, body: bytes) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return bool(response.read() == body)
    except OSError:
        return False


def test_run_py_migrates_prints_its_address_and_serves(postgres: PrivateCluster, redis: PrivateRedis) -> None:
    with closing(psycopg2.connect(libpq(postgres.url))) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE fresh_home")
    address = f"http://127.0.0.1:{free_port()}"
    url = libpq(postgres.url, database="fresh_home")
    process = start("run.py", SQLALCHEMY_DATABASE_URI=url, REDIS_URL=redis.url, LOCAL_SERVER_URL=address)
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert address in told
        assert "***" in told
        assert wait_until(lambda: answers(f"{address}/materialize/api/versions", b"[2,3]\n"), 10)
    finally:
        kill_all(process)
        process.communicate()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM matengine.run")
        assert cursor.fetchone() == (0,)


def test_run_py_says_what_is_wrong_when_there_is_no_database() -> None:
    process = start("run.py", SQLALCHEMY_DATABASE_URI=f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "See the README" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("queues", ["processcelery,workflow", "celery,process,workflow"])
def test_a_worker_started_by_hand_finishes_a_workflow_alone(
    engine: Engine, postgres: PrivateCluster, redis: PrivateRedis, queues: str, tmp_path: Path
) -> None:
    ensure(engine.services.cluster, engine.services.cluster.home)
    environ = {"SQLALCHEMY_DATABASE_URI": postgres.url, "REDIS_URL": redis.url}
    command = ["-m", "celery", "--app=run.celery", "worker", "--pool=prefork", "--hostname=worker.process@%h"]
    options = [f"--queues={queues}", "--concurrency=1", "--loglevel=INFO", "-Ofair"]
    process = start(*command, *options, **environ)
    try:
        record = launch(engine.services, RunRequest(RunKind.DUMMY), create_celery(Settings.from_env(environ)).send)
        assert wait_for(engine, record.id, 60).status is RunStatus.SUCCEEDED
    finally:
        kill_all(process)
        told, _ = process.communicate()
    assert ("lost its comma" in told) == ("processcelery" in queues)


def test_an_unknown_queue_is_refused_with_the_list(postgres: PrivateCluster, redis: PrivateRedis) -> None:
    with pytest.raises(ConfigurationError, match="there are celery, process, workflow"):
        known_queues(["proces"])
    environ = {"SQLALCHEMY_DATABASE_URI": postgres.url, "REDIS_URL": redis.url}
    process = start("-m", "celery", "--app=run.celery", "worker", "--queues=proces", "--concurrency=1", **environ)
    told, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "there is no queue 'proces'; there are celery, process, workflow" in told


def test_production_refuses_the_development_password() -> None:
    url = "postgresql://postgres:materialize@db/postgres"
    with pytest.raises(ConfigurationError, match="development password"):
        Settings.from_env({"FLASK_CONFIGURATION": "production", "SQLALCHEMY_DATABASE_URI": url})
    with pytest.raises(ConfigurationError, match="did you mean MATERIALIZATION_AS_OF_MARGIN"):
        Settings.from_env({"MATERIALIZATION_AS_OF_MARGN": "1"})
