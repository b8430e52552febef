"""A resumed run goes on from its finished units, and a pause drains: in this process, and with real workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from materializationengine.config import Settings
from materializationengine.domain.errors import VersionNotAvailable
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel import moments
from materializationengine.kernel.postgres import PrivateCluster
from materializationengine.kernel.redis import PrivateRedis
from materializationengine.steps import freeze, freeze_check
from materializationengine.storage import janitor, run_control, run_records
from materializationengine.storage.ledger import Message
from materializationengine.storage.uploads import UploadStage
from materializationengine.workflows.celery_app import create_celery
from materializationengine.workflows.launch import launch, resume, wake
from materializationengine.workflows.requests import RunRequest, UploadRequest
from tests.harness import SYNAPSE_MAPPING, Engine
from tests.workflows.workers import wait_for, worker

DAY0 = moments.parse("2026-01-01T00:00:00+00:00")


def day(number: float) -> datetime:
    return DAY0 + timedelta(days=number)


KEPT = [True, pytest.param(False, marks=pytest.mark.faults)]
"""Whether what the failed run staged and built is still there."""


class Broken(RuntimeError):
    """A fault that no other try mends."""


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> Iterator[str]:
    engine.load(small_world, datastack)
    yield datastack
    engine.neighbors.mend()


def settings(engine: Engine, **changes: Any) -> None:
    engine.services.settings = replace(engine.services.settings, **changes)


def breaks(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, when: Callable[..., bool]) -> None:
    """Let a deed raise whenever `when` says so of its arguments."""
    deed = getattr(where, name)

    def broken(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            raise Broken(name)
        return deed(*args, **kwargs)

    monkeypatch.setattr(where, name, broken)


def finished(engine: Engine, run_id: str) -> dict[str, set[tuple[int, object]]]:
    """Id and end of every unit that is done, by action."""
    database = run_records.find_run(engine.services.cluster, run_id).database
    found: dict[str, set[tuple[int, object]]] = {}
    with engine.services.cluster.connect(database) as connection:
        done = "SELECT action, id, finished FROM matengine.unit WHERE run_id = $1 AND status = 'DONE'"
        for action, unit, end in connection.rows(done, run_id):
            found.setdefault(action, set()).add((unit, end))
    return found


def go_on(engine: Engine, run_id: str) -> RunRecord:
    queue: list[Message] = []
    resume(engine.services, run_id, queue.extend)
    for _ in range(20):
        engine.drain(queue)
        record = run_records.find_run(engine.services.cluster, run_id, units=True)
        if record.status.over:
            return record
        queue += engine._due(record.database)
    raise AssertionError(record)


@pytest.mark.parametrize("kept", KEPT)
def test_an_upload_goes_on_with_the_rows_that_are_loaded(
    engine: Engine, stack: str, small_world: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    settings(engine, upload_batch=300, keep_failed=600.0 if kept else 0.0)
    columns = str(small_world / "annotations/synapses")
    upload = UploadRequest("synapses", "synapse", columns, SYNAPSE_MAPPING, created=DAY0)
    with monkeypatch.context() as patch:
        breaks(patch, UploadStage, "build", lambda _, statement: "post_pt" in statement)
        failed = engine.attempt(RunKind.BULK_UPLOAD, stack, upload=upload)
    assert failed.status is RunStatus.FAILED and "Broken" in (failed.error or "")
    before = finished(engine, failed.id)
    assert len(before["bulk_load.load"]) == 7
    record = go_on(engine, failed.id)
    assert record.status is RunStatus.SUCCEEDED, record.error
    after = finished(engine, failed.id)
    for action in ("bulk_load.prepare", "bulk_load.load"):
        assert (after[action] == before[action]) is kept and len(after[action]) == len(before[action])
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        assert connection.rows("SELECT count(*), count(DISTINCT id) FROM synapses") == [(2000, 2000)]
        assert (
            connection.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'matengine' AND tablename ~ 'stage'")
            == 0
        )


@pytest.mark.parametrize("kept", KEPT)
def test_a_freeze_goes_on_with_the_copy_that_is_made(
    engine: Engine, stack: str, small_world: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    settings(engine, keep_failed=600.0 if kept else 0.0, ingest_batch=700)
    engine.upload_synapses(small_world, stack, DAY0)
    with monkeypatch.context() as patch:
        breaks(patch, freeze_check.frozen_checks, "sampled_pairs", lambda *_: True)
        failed = engine.attempt(RunKind.COMPLETE, stack, as_of=day(30))
    assert failed.status is RunStatus.FAILED
    before = finished(engine, failed.id)
    janitor.clean(engine.services.cluster, failed.database, engine.services.settings.keep_failed)
    record = go_on(engine, failed.id)
    assert record.status is RunStatus.SUCCEEDED, record.error
    after = finished(engine, failed.id)
    for action in ("ingest.scan", "ingest.look_up", "update_roots.scan", "update_roots.apply"):
        assert after[action] == before[action]
    assert len(before["ingest.look_up"]) == 3
    for action in ("freeze.create", "freeze.copy"):
        assert (after[action] == before[action]) is kept and len(after[action]) == 1
    twin = engine.run(RunKind.FREEZE, stack, as_of=day(30))
    assert engine.frozen(stack, record.version).equals(engine.frozen(stack, twin.version))
    settings(engine, keep_failed=0.0)
    with engine.services.cluster.connect() as connection:
        assert connection.rows("SELECT 1 FROM pg_database WHERE datname ~ $1", record.id) == []


def test_an_ingest_looks_up_only_what_is_left(
    engine: Engine, stack: str, small_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(engine, ingest_batch=300)
    engine.upload_synapses(small_world, stack, DAY0)
    from materializationengine.steps import ingest

    with monkeypatch.context() as patch:
        breaks(patch, ingest.segmentation_rows, "missing_rows", lambda *args: args[2] > 1000)
        failed = engine.attempt(RunKind.INGEST, stack, as_of=day(1))
    before = finished(engine, failed.id)
    assert failed.status is RunStatus.FAILED and 0 < len(before["ingest.look_up"]) < 7
    record = go_on(engine, failed.id)
    after = finished(engine, failed.id)
    assert record.status is RunStatus.SUCCEEDED and before["ingest.look_up"] < after["ingest.look_up"]
    assert len(after["ingest.look_up"]) == 7 and after["ingest.scan"] == before["ingest.scan"]


def test_a_run_whose_base_has_gone_is_not_resumed(engine: Engine, stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = engine.run(RunKind.FREEZE, stack, as_of=day(1))
    with monkeypatch.context() as patch:
        breaks(patch, freeze.version_publishing, "write_metadata", lambda *_: True)
        failed = engine.attempt(RunKind.INCREMENTAL, stack, as_of=day(2), base_version=base.version)
    assert failed.status is RunStatus.FAILED
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        connection.execute("UPDATE analysisversion SET status = 'EXPIRED' WHERE version = $1::int", base.version)
        connection.commit()
    with pytest.raises(VersionNotAvailable):
        resume(engine.services, failed.id, lambda _: None)
    assert run_records.find_run(engine.services.cluster, failed.id).status is RunStatus.FAILED


@pytest.fixture
def environ(postgres: PrivateCluster, redis: PrivateRedis, engine: Engine) -> dict[str, str]:
    return {
        "SQLALCHEMY_DATABASE_URI": postgres.url,
        "REDIS_URL": redis.url,
        "LOCAL_SERVER_URL": engine.neighbors.url,
        "MATERIALIZATION_AS_OF_MARGIN": "0",
        "MATERIALIZATION_SWEEP_EVERY": "0.5",
        "MATERIALIZATION_RESEND": "2",
        "MATERIALIZATION_MAX_ATTEMPTS": "1",
        "MATERIALIZATION_INGEST_BATCH": "200",
    }


def test_real_workers_drain_for_a_pause_and_take_a_resumed_run_up(
    engine: Engine, environ: dict[str, str], stack: str, small_world: Path, tmp_path: Path
) -> None:
    cluster, send = engine.services.cluster, create_celery(Settings.from_env(environ)).send
    engine.upload_synapses(small_world, stack, DAY0)
    with worker(environ, tmp_path / "worker.log", concurrency=2):
        dummy = launch(engine.services, RunRequest(RunKind.DUMMY, seconds=(0.3,) * 5), send)
        until(lambda: dones(engine, dummy.id) > 1)
        run_control.pause(cluster, "*", [dummy.database], "tests")
        try:
            until(lambda: not any(step.running for step in run_records.find_run(cluster, dummy.id).steps))
            drained = dones(engine, dummy.id)
            time.sleep(1.5)
            assert dones(engine, dummy.id) == drained < 10
            assert not any(step.running for step in run_records.find_run(cluster, dummy.id).steps)
        finally:
            run_control.unpause(cluster, "*", [dummy.database])
        wake(engine.services, [dummy.database], send)
        assert wait_for(engine, dummy.id, 300).status is RunStatus.SUCCEEDED
        engine.neighbors.faults(wrong_length=True, datastack=stack)
        failed = wait_for(engine, launch(engine.services, request(stack), send).id, 300)
        assert failed.status is RunStatus.FAILED
        engine.neighbors.mend()
        before = finished(engine, failed.id)
        resume(engine.services, failed.id, send)
        record = wait_for(engine, failed.id, 300)
        assert record.status is RunStatus.SUCCEEDED, record.error
        after = finished(engine, failed.id)
        assert before and all(units <= after[action] for action, units in before.items())


def request(stack: str) -> RunRequest:
    return RunRequest(RunKind.COMPLETE, stack, as_of=day(30))


def dones(engine: Engine, run_id: str) -> int:
    return sum(step.done for step in run_records.find_run(engine.services.cluster, run_id).steps)


def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)
