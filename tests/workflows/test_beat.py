"""Real beats and a real worker: two of the former, one run for one slot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from materializationengine.domain.plan import RunStatus
from materializationengine.kernel import moments
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.storage import run_records, schedules
from materializationengine.storage.live_database import ensure
from tests.harness import Engine
from tests.workflows.workers import APP, ROOT, kill_all, wait_for, worker


def test_two_beats_that_were_off_for_days_start_one_run(
    engine: Engine, redis: PrivateRedis, tmp_path: Path, datastack: str
) -> None:
    name, now = f"removal {datastack}", moments.now()
    cluster = engine.services.cluster
    ensure(cluster, cluster.home)
    with cluster.connect() as connection:
        schedules.last_slot(connection, name, now - timedelta(days=3))
    early = (now - timedelta(hours=2)).hour
    schedule = {"name": name, "task": "remove_expired_databases", "minute": 0, "hour": early}
    environ = {
        "SQLALCHEMY_DATABASE_URI": engine.services.settings.database_url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
        "REDIS_URL": redis.url,
        "BEAT_SCHEDULES": json.dumps([schedule]),
        "MATERIALIZATION_BEAT_EVERY": "0.5",
        "MATERIALIZATION_SWEEP_EVERY": "0.5",
    }
    beats = [_beat(environ, tmp_path / f"beat{number}.log") for number in range(2)]
    try:
        with worker(environ, tmp_path / "worker.log", concurrency=2):
            deadline = time.monotonic() + 60
            while not (runs := _fired(engine, name)):
                assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()[-3000:]
                time.sleep(0.1)
            assert wait_for(engine, runs[0], 60).status is RunStatus.SUCCEEDED
            time.sleep(2)
            assert _fired(engine, name) == runs
    finally:
        for process in beats:
            kill_all(process)
    mine = [r for r in run_records.list_runs(cluster) if r.requested_by == f"schedule {name}"]
    assert len(runs) == len(mine) == 1
    with cluster.connect() as connection:
        outcomes = [firing.outcome for firing in schedules.firings(connection, name)]
    assert outcomes == ["FIRED", "SKIPPED", "SKIPPED", "REGISTERED"]


def _beat(environ: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", f"--app={APP}", "beat", "--pidfile=", "--loglevel=INFO"]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _fired(engine: Engine, name: str) -> list[str]:
    with engine.services.cluster.connect() as connection:
        return [run for firing in schedules.firings(connection, name) for run in firing.runs]
