"""`matengine db`, and an older release before a database that a newer one upgraded: one sentence at every door."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from materializationengine.cli import main
from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.storage import ledger, run_records
from materializationengine.storage.engines import Cluster
from materializationengine.storage.live_database import known_layouts
from materializationengine.web.app import create_app
from materializationengine.web.parts import parts
from tests.harness import Engine
from tests.workflows.workers import APP, ROOT

DAY1 = moments.parse("2026-01-02T00:00:00+00:00")
SENTENCE = "newer than this release knows"


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, DAY1)
    return datastack


@pytest.fixture
def environ(engine: Engine, redis: PrivateRedis) -> dict[str, str]:
    settings = engine.services.settings
    return {
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "LOCAL_SERVER_URL": settings.local_server,
        "REDIS_URL": redis.url,
        "AUTH_DISABLED": "true",
        "MATERIALIZATION_AS_OF_MARGIN": "0",
    }


def matengine(environ: dict[str, str], *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(main, [*words], env=environ)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.output


def set_layout(cluster: Cluster, database: str, layout: str) -> None:
    with closing(cluster.raw(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE matengine.alembic_version SET version_num = %s", (layout,))


@pytest.fixture
def newer(engine: Engine, stack: str) -> Iterator[str]:
    """A live database that a newer release upgraded."""
    live = f"{stack}_volume"
    set_layout(engine.services.cluster, live, "9999")
    yield live
    set_layout(engine.services.cluster, live, known_layouts()[0])


def test_the_layout_is_shown_and_brought_up_to_date(engine: Engine, environ: dict[str, str], stack: str) -> None:
    cluster, live = engine.services.cluster, f"{stack}_volume"
    matengine(environ, "db", "upgrade")
    assert {each["state"] for each in matengine(environ, "db", "current", "--json")} == {"up to date"}
    with closing(cluster.raw(live)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA matengine CASCADE")
    (before,) = matengine(environ, "db", "current", stack, "--json", code=2)
    assert (before["database"], before["current"], before["state"]) == (live, None, "to be upgraded")
    (after,) = matengine(environ, "db", "upgrade", stack, "--json")
    assert (after["current"], after["state"]) == (known_layouts()[0], "up to date")
    assert f"{live}: layout {known_layouts()[0]}, up to date" in matengine(environ, "db", "current")


def test_every_door_refuses_a_newer_database_with_one_sentence(
    engine: Engine, environ: dict[str, str], stack: str, newer: str
) -> None:
    assert "newer than this release" in matengine(environ, "db", "current", stack, code=2)
    for words in (["db", "upgrade", stack], ["run", "complete", stack]):
        told = matengine(environ, *words, code=2)
        assert told.count("\n") == 1
        assert f"database {newer} is at layout 9999, {SENTENCE}" in told
    app = create_app(Settings.from_env(environ))
    answer = app.test_client().get(f"/materialize/api/v3/datastack/{stack}/versions")
    parts(app).close()
    assert (answer.status_code, answer.json["error"]) == (503, "newer_database")
    assert SENTENCE in answer.json["message"]


def test_a_worker_of_an_older_release_does_not_start(environ: dict[str, str], newer: str) -> None:
    command = [sys.executable, "-m", "celery", f"--app={APP}", "worker", "--queues=process", "--concurrency=1"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: database {newer} is at layout 9999")
    assert "Traceback" not in done.stderr


def test_a_service_before_a_newer_home_is_not_ready(engine: Engine, environ: dict[str, str]) -> None:
    cluster = engine.services.cluster
    matengine(environ, "db", "upgrade")
    app = create_app(Settings.from_env(environ))
    set_layout(cluster, cluster.home, "9999")
    try:
        answer = app.test_client().get("/health/ready")
    finally:
        set_layout(cluster, cluster.home, known_layouts()[0])
        parts(app).close()
    assert (answer.status_code, answer.json["database"]) == (503, "newer")


def test_a_running_worker_takes_nothing_from_a_database_that_was_upgraded(engine: Engine, stack: str) -> None:
    """What it has begun it may finish; the rest of the run is done by workers that know the layout."""
    live = f"{stack}_volume"
    run = engine.start_only(RunKind.FREEZE, stack, as_of=DAY1)
    set_layout(engine.services.cluster, live, "9999")
    for _ in range(2):
        with engine.services.cluster.connect(live) as connection:
            connection.execute("UPDATE matengine.unit SET send_after = clock_timestamp()")
            connection.commit()
        engine.drain(engine._due(live))
    left = run_records.find_run(engine.services.cluster, run, units=True)
    assert (left.status, left.units[0].status, left.units[0].attempt) == (RunStatus.RUNNING, "READY", 0)
    set_layout(engine.services.cluster, live, known_layouts()[0])
    with engine.services.cluster.connect(live) as connection:
        connection.execute("UPDATE matengine.unit SET send_after = clock_timestamp()")
        connection.commit()
    engine.drain(engine._due(live))
    assert run_records.find_run(engine.services.cluster, run).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("run", "plan = jsonb_set(plan, '{freeze,colour}', '\"red\"')"),
        ("unit", "action = 'freeze.paint'"),
        ("unit", 'args = args || \'{"colour": "red"}\''),
    ],
)
def test_work_of_a_newer_release_is_left_to_its_workers(engine: Engine, stack: str, table: str, change: str) -> None:
    """Not failed, not counted as an attempt, and done as soon as somebody understands it."""
    live = f"{stack}_volume"
    run = engine.start_only(RunKind.FREEZE, stack, as_of=DAY1)
    condition = "id = %s" if table == "run" else "run_id = %s AND status = 'READY'"
    with closing(engine.services.cluster.raw(live)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM matengine.{table} WHERE {condition}", (run,))
        cursor.execute(f"UPDATE matengine.{table} SET {change} WHERE {condition}", (run,))
        connection.commit()
        for _ in range(8):
            cursor.execute("UPDATE matengine.unit SET send_after = clock_timestamp()")
            connection.commit()
            engine.drain(engine._due(live))
        left = run_records.find_run(engine.services.cluster, run, units=True)
        assert left.status is RunStatus.RUNNING
        assert (left.units[0].status, left.units[0].attempt, left.steps[0].failures) == ("READY", 0, 0)
        columns = "plan = k.plan" if table == "run" else "action = k.action, args = k.args"
        cursor.execute(f"UPDATE matengine.{table} t SET {columns} FROM kept k WHERE k.id = t.id")
        cursor.execute("UPDATE matengine.unit SET send_after = clock_timestamp()")
        connection.commit()
    with engine.services.cluster.connect(live) as connection:
        engine.drain(ledger.sweep(connection, live, resend=0))
    assert run_records.find_run(engine.services.cluster, run).status is RunStatus.SUCCEEDED
