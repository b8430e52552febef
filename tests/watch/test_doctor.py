"""`matengine doctor`: everything it looks at is broken once, and the line that says so is read."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import pytest
import requests
from click.testing import CliRunner
from redis import Redis

from materializationengine.cli import main
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.kernel.urls import libpq, password
from materializationengine.storage.live_database import MARK
from materializationengine.watch import checks
from tests.gateways.servers import Answer, Request, serving
from tests.harness import Engine

TOKEN = "engines-own-secret-token"


@dataclass
class Patient:
    """An engine's settings, before and after something is broken."""

    engine: Engine
    redis: PrivateRedis
    datastack: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    environ: dict[str, str] = field(default_factory=dict)

    def sql(self, statement: str, database: str | None = None) -> None:
        """Run a statement as the superuser, outside of transactions."""
        url = libpq(self.engine.services.settings.database_url, database=database)
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def examine(self) -> tuple[int, str]:
        """Exit code and text of `matengine doctor DATASTACK`."""
        said = CliRunner().invoke(main, ["doctor", self.datastack], env=self.environ, catch_exceptions=False)
        return said.exit_code, said.output

    def failures(self) -> dict[str, str]:
        """The lines that failed, by their check."""
        _, output = self.examine()
        lines = [line.removeprefix("FAIL ") for line in output.splitlines() if line.startswith("FAIL ")]
        found = (line.removeprefix(f"{self.datastack} ").partition(": ") for line in lines)
        return {check: text for check, _, text in found}


@pytest.fixture
def patient(
    engine: Engine,
    redis: PrivateRedis,
    small_world: Path,
    datastack: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Patient:
    """A service that is well but for its workers, of which there are none."""
    engine.load(small_world, datastack)
    made = Patient(engine, redis, datastack, tmp_path, monkeypatch)
    (tmp_path / "token.json").write_text(json.dumps({"token": TOKEN}))
    made.environ = {
        "SQLALCHEMY_DATABASE_URI": engine.services.settings.database_url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
        "REDIS_URL": redis.url,
        "DAF_CREDENTIALS": str(tmp_path / "token.json"),
    }
    return made


@contextmanager
def _no_database(patient: Patient) -> Iterator[None]:
    patient.environ["SQLALCHEMY_DATABASE_URI"] = f"postgresql://me:{TOKEN}@127.0.0.1:1/postgres"
    yield


@contextmanager
def _old_database(patient: Patient) -> Iterator[None]:
    patient.monkeypatch.setattr(checks, "OLDEST_POSTGRES", 990000)
    yield


@contextmanager
def _no_postgis(patient: Patient) -> Iterator[None]:
    name = f"{patient.datastack}_bare"
    patient.sql(f"CREATE DATABASE {name} TEMPLATE template0")
    patient.sql(f"COMMENT ON DATABASE {name} IS '{MARK}'")
    yield


@contextmanager
def _weak_role(patient: Patient) -> Iterator[None]:
    patient.sql("CREATE ROLE weak LOGIN PASSWORD 'weak-password'")
    url = patient.environ["SQLALCHEMY_DATABASE_URI"]
    login = url.partition("://")[2].partition("@")[0]
    patient.environ["SQLALCHEMY_DATABASE_URI"] = url.replace(login, "weak:weak-password")
    yield
    patient.sql("DROP ROLE weak")


@contextmanager
def _other_layout(patient: Patient) -> Iterator[None]:
    from materializationengine.storage.live_database import ensure

    volume = f"{patient.datastack}_volume"
    ensure(patient.engine.services.cluster, volume)
    patient.sql("UPDATE matengine.alembic_version SET version_num = '9999'", volume)
    yield


@contextmanager
def _no_redis(patient: Patient) -> Iterator[None]:
    patient.environ["REDIS_URL"] = f"redis://:{TOKEN}@127.0.0.1:1/0"
    yield


@contextmanager
def _forgetful_redis(patient: Patient) -> Iterator[None]:
    client = Redis.from_url(patient.redis.url)
    client.config_set("maxmemory-policy", "allkeys-lru")
    yield
    client.config_set("maxmemory-policy", "noeviction")


@contextmanager
def _wrong_clock(patient: Patient) -> Iterator[None]:
    class Late:
        @staticmethod
        def time() -> float:
            return time.time() - 3600

    patient.monkeypatch.setattr(sys.modules["materializationengine.cli.doctor"], "time", Late)
    yield


@contextmanager
def _schedule_without_beat(patient: Patient) -> Iterator[None]:
    schedule = {"name": "nightly", "task": "remove_expired_databases", "minute": 0, "hour": 3}
    patient.environ["BEAT_SCHEDULES"] = json.dumps([schedule])
    yield


@contextmanager
def _full_disk(patient: Patient) -> Iterator[None]:
    patient.environ["MATERIALIZATION_DISK_RESERVE"] = "1e9"
    yield


@contextmanager
def _unknown_datastack(patient: Patient) -> Iterator[None]:
    known, patient.datastack = patient.datastack, "nobody_knows"
    yield
    patient.datastack = known


@contextmanager
def _graph_down(patient: Patient) -> Iterator[None]:
    patient.engine.neighbors.faults(segmentation={"status": 503})
    yield
    patient.engine.neighbors.mend()


def _passing_on(patient: Patient, instead: Callable[[Request], Answer | None]) -> Callable[[Request], Answer]:
    """Local CAVE, but for what is answered `instead`."""

    def answer(request: Request) -> Answer:
        if (other := instead(request)) is not None:
            return other
        url = patient.engine.neighbors.url + request.raw_path
        told = requests.request(request.method, url, params=request.query, data=request.body, timeout=30)
        return Answer(told.status_code, told.content, {"Content-Type": told.headers["Content-Type"]})

    return answer


@contextmanager
def _expired_token(patient: Patient) -> Iterator[None]:
    def refuse(request: Request) -> Answer | None:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        return Answer.of({"error": "invalid_token"}, 401)

    with serving(refuse) as graph:  # type: ignore[arg-type]
        patient.environ["PCG_SERVER_URL"] = graph.url
        yield


@contextmanager
def _no_rights(patient: Patient) -> Iterator[None]:
    def lesser(request: Request) -> Answer | None:
        if request.path.endswith("/user/cache"):
            return Answer.of({"id": 7, "name": "engine", "permissions_v2": {"elsewhere": ["view"]}})
        return Answer.of("here") if request.path.endswith("/dataset") else None

    with serving(_passing_on(patient, lesser)) as service:
        patient.environ["GLOBAL_SERVER_URL"] = service.url
        yield


@contextmanager
def _no_volume(patient: Patient) -> Iterator[None]:
    url = f"{patient.engine.neighbors.url}/info/api/v2/datastack/full/{patient.datastack}"
    record = requests.get(url, timeout=10).json() | {"segmentation_source": "precomputed://file:///nowhere/at/all"}
    (patient.folder / "datastacks.json").write_text(json.dumps({patient.datastack: record}))
    patient.environ["DATASTACKS_FILE"] = str(patient.folder / "datastacks.json")
    yield


BROKEN = [
    (_no_database, "postgresql", "database", "start PostgreSQL"),
    (_old_database, "postgresql", "too old", "PostgreSQL 14"),
    (_no_postgis, "postgis", "lack PostGIS", "CREATE EXTENSION postgis"),
    (_weak_role, "role", "weak may not make databases", 'ALTER ROLE "weak" CREATEDB'),
    (_other_layout, "layout", "9999", "install a release as new"),
    (_no_redis, "redis", "Redis does not answer", "start Redis"),
    (_forgetful_redis, "redis", "allkeys-lru", "maxmemory-policy noeviction"),
    (_wrong_clock, "clock", "s from this machine's", "NTP"),
    (_schedule_without_beat, "beat", "1 schedules and no beat", "celery beat"),
    (_full_disk, "disk", "less than the reserve", "retire versions"),
    (_unknown_datastack, "info", "unknown datastack 'nobody_knows'", "see the record of nobody_knows"),
    (_graph_down, "graph", "503", "PCG_SERVER_URL"),
    (_expired_token, "token", "refuses the engine's token (401)", "token.json"),
    (_no_rights, "rights", "needs the permission view in here", "let it view"),
    (_no_volume, "volume", "cannot be read", "GOOGLE_APPLICATION_CREDENTIALS"),
]


@pytest.mark.parametrize(("breaks", "check", "told", "fix"), BROKEN, ids=[row[0].__name__[1:] for row in BROKEN])
def test_each_thing_that_is_broken_has_its_line(
    patient: Patient, breaks: Callable[[Patient], object], check: str, told: str, fix: str
) -> None:
    with breaks(patient):  # type: ignore[attr-defined]
        code, output = patient.examine()
        failures = patient.failures()
    assert code == 2
    said, _, mended = failures[check].partition(". Fix: ")
    assert told in said and fix in mended, output
    assert TOKEN not in output and password(patient.redis.url) not in output


def test_a_service_that_is_well_but_for_its_workers(patient: Patient) -> None:
    code, output = patient.examine()
    assert (code, list(patient.failures())) == (2, ["workers"]), output
    names = [line[5:].partition(": ")[0] for line in output.splitlines()]
    stack = patient.datastack
    wanted = [*checks.SERVICE, *(f"{stack} {name}" for name in ("info", "graph", "token", "rights", "volume"))]
    assert names == wanted


def test_findings_as_json(patient: Patient) -> None:
    said = CliRunner().invoke(main, ["doctor", "--json"], env=patient.environ)
    found = {each["check"]: each for each in json.loads(said.output)}
    assert found["workers"]["light"] == "red" and "celery" in found["workers"]["fix"]
    assert found["redis"]["light"] == "green" and "fix" not in found["redis"]


def test_the_graphs_clock_is_looked_at_too(patient: Patient) -> None:
    with _wrong_clock(patient):
        _, output = patient.examine()
    # Its header has whole seconds.
    assert re.search(rf"FAIL {patient.datastack} clock: the graph's clock is \+(3599|36\d\d) s", output)


def test_config_shows_settings_without_secrets(patient: Patient) -> None:
    said = CliRunner().invoke(main, ["config"], env=patient.environ)
    assert said.exit_code == 0 and "MATERIALIZATION_LEASE=1800.0" in said.output
    for url in (patient.redis.url, patient.environ["SQLALCHEMY_DATABASE_URI"]):
        assert password(url) not in said.output
    assert "REDIS_URL=redis://:***@127.0.0.1" in said.output
