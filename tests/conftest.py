"""Real parts for every test: a private PostgreSQL, a private Redis, local CAVE over HTTP."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
from redis import Redis

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.gateways.worlds import LocalWorlds
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from tests.harness import Engine, Neighbors, drop_databases

SHARED = Path(__file__).parent / "../../shared/data"
_NUMBERS = itertools.count(1)
_LONG = (
    "docs/test_played_pages.py",
    "holes/test_holes.py",
    "acceptance/test_main_job.py",
    "workflows/test_kill.py",
    "steps/test_incremental.py",
    "steps/test_kinds_of_tables.py",
    "web/test_live_queries.py",
    "l1dbproto/test_l1_apps.py",
    "web/test_any_moment.py",
    "steps/test_laws.py",
    "acceptance/test_examples.py",
    "stack/test_packaging.py",
    "stack/test_stack.py",
    "stack/test_deployment.py",
    "workflows/test_bad_input.py",
    "steps/test_versions.py",
    "steps/test_history_property.py",
)
"""Files that take a minute or more are begun first: at the end one of them would run alone."""


def pytest_configure() -> None:
    """Settings of the person who runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith(("MATERIALIZATION_", "MATENGINE_")) or name in _SETTINGS:
            del os.environ[name]


_SETTINGS = {"SQLALCHEMY_DATABASE_URI", "REDIS_URL", "CELERY_BROKER_URL", "LOCAL_SERVER_URL", "GLOBAL_SERVER_URL"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, the others in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateCluster]:
    """One PostgreSQL with PostGIS for the whole run."""
    with PrivateCluster(tmp_path_factory.mktemp("postgres") / "cluster", durable=False, keep=False) as cluster:
        _ask_for_cheap_passwords(cluster)
        yield cluster


def _ask_for_cheap_passwords(cluster: PrivateCluster) -> None:
    """Tests begin tens of thousands of sessions, half of whose cost were SCRAM's 4,096 rounds on either side (m)."""
    password = urlsplit(cluster.url).password
    with closing(psycopg2.connect(cluster.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET password_encryption = 'md5'")
        cursor.execute("ALTER ROLE postgres PASSWORD %s", (password,))
        # This method takes either kind: roles that a test makes keep theirs.
        rules = cluster.data / "pg_hba.conf"
        rules.write_text(rules.read_text().replace("scram-sha-256", "md5"))
        cursor.execute("SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """One Redis for the whole run."""
    with PrivateRedis(tmp_path_factory.mktemp("redis") / "server") as server:
        yield server


@pytest.fixture(scope="module")
def redis(redis_server: PrivateRedis) -> PrivateRedis:
    """The Redis of the whole run, without the messages that other modules left there."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def neighbors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbors]:
    """Local CAVE in a process of its own."""
    folder = tmp_path_factory.mktemp("localcave")
    command = [sys.executable, "-m", "localcave", "serve", "--dir", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            yield Neighbors(url, LocalWorlds(url))
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated world of 128 voxels a side with 2,000 synapses and its history."""
    from localcave.world import make

    folder = tmp_path_factory.mktemp("world")
    make(folder, seed=7, size=128, synapses=2_000)
    return folder


@pytest.fixture(scope="session")
def em512() -> Path:
    """The example world on a real electron microscopy segmentation."""
    folder = (SHARED / "em512").resolve()
    if not folder.is_dir():
        pytest.skip("the example world ../shared/data/em512 is absent")
    return folder


@pytest.fixture
def datastack(postgres: PrivateCluster) -> Iterator[str]:
    """A datastack's name that no other test uses; its databases go with the test."""
    name = f"stack{next(_NUMBERS)}"
    yield name
    drop_databases(postgres.url, name)


@pytest.fixture
def engine(postgres: PrivateCluster, neighbors: Neighbors) -> Iterator[Engine]:
    """The engine in this process: real database, real neighbors, units done one after another."""
    environ = {
        "SQLALCHEMY_DATABASE_URI": postgres.url,
        "LOCAL_SERVER_URL": neighbors.url,
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "MATERIALIZATION_RETRY_DELAY": "0",
        "MATERIALIZATION_WRITER_WAIT": "2",
    }
    services = Services(Settings.from_env(environ), "tests")
    yield Engine(services, neighbors)
    services.close()
