"""A big ingest at work does not starve a short look-up: with a real worker, broker and queue."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from materializationengine.config import Settings
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.storage import run_control
from materializationengine.storage.ledger import Message
from materializationengine.workflows.celery_app import create_celery
from materializationengine.workflows.launch import launch
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine
from tests.workflows.test_resume import dones, until
from tests.workflows.workers import wait_for, worker

DAY1 = moments.parse("2026-01-02T00:00:00+00:00")
UNIT = 0.25


def test_a_short_look_up_overtakes_what_long_runs_have_sent(
    engine: Engine, postgres: PrivateCluster, redis: PrivateRedis, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    """Bounded in units of the long runs: the one at work, and one beside each unit of its own."""
    environ = {
        "SQLALCHEMY_DATABASE_URI": postgres.url,
        "REDIS_URL": redis.url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
        "MATERIALIZATION_SWEEP_EVERY": "5",
    }
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, moments.parse("2026-01-01T00:00:00+00:00"))
    send = create_celery(Settings.from_env(environ)).send
    with worker(environ, tmp_path / "worker.log", concurrency=1):
        big = [launch(engine.services, RunRequest(RunKind.DUMMY, seconds=(UNIT,) * 150), send) for _ in range(2)]
        until(lambda: all(dones(engine, run.id) > 2 for run in big))
        small = RunRequest(RunKind.INGEST, datastack, table="synapses", annotation_ids=tuple(range(1, 9)), as_of=DAY1)
        mine = launch(engine.services, small, send)
        sent = moments.now()
        record = wait_for(engine, mine.id, 300)
        assert record.status is RunStatus.SUCCEEDED, record.error
        ready = [sent, *(step.finished for step in record.steps if step.units)]
        begun = [step.started for step in record.steps if step.units]
        waits = [overtaken(engine, big, *span) for span in zip(ready, begun, strict=False)]
        # Of each long run at most two units are as urgent; without urgency 32 would go before each unit.
        assert len(waits) == 2 and max(waits) <= 6, waits
        assert all(dones(engine, run.id) < 300 for run in big)
        more = [dones(engine, run.id) for run in big]
        until(lambda: all(dones(engine, run.id) > done for run, done in zip(big, more, strict=True)))


def overtaken(engine: Engine, runs: list[RunRecord], since: datetime, until: datetime) -> int:
    """Units of these runs that were begun in between."""
    with engine.services.cluster.connect(runs[0].database) as connection:
        statement = (
            "SELECT count(*) FROM matengine.unit WHERE run_id = ANY ($1) "
            "AND started > $2::timestamptz AND started < $3::timestamptz"
        )
        return int(connection.value(statement, [run.id for run in runs], since, until))


def test_what_is_urgent_is_every_unit_of_a_short_step_and_some_of_a_long_one(engine: Engine) -> None:
    found = {}
    for units in (1, 4, 50):
        sent: list[Message] = []
        record = launch(engine.services, RunRequest(RunKind.DUMMY, seconds=(0.0,) * units), sent.extend)
        found[units] = [message.urgent for message in sent if message.run_id == record.id]
        run_control.cancel(engine.services.cluster, record.id, "tests")
    assert found[1] == [True] and found[4] == [True] * 4
    assert len(found[50]) == 16 and 1 <= sum(found[50]) <= 2
