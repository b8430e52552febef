"""What a person does to runs: cancel, retry, resume, pause; and how much of the queue one run may take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from materializationengine.domain.errors import BadRequest, RunInProgress, TableExists
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.storage import janitor, ledger, run_control, run_records
from materializationengine.storage.ledger import Message
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.launch import resume, retry
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine

DAY0 = moments.parse("2026-01-01T00:00:00+00:00")


def day(number: float) -> datetime:
    return DAY0 + timedelta(days=number)


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> Iterator[str]:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    yield datastack
    engine.neighbors.mend()


def finish(engine: Engine, run_id: str, queue: list[Message]) -> RunStatus:
    for _ in range(20):
        engine.drain(queue)
        record = run_records.find_run(engine.services.cluster, run_id)
        if record.status.over:
            return record.status
        queue += engine._due(record.database)
    raise AssertionError(record)


def status_of(engine: Engine, stack: str, version: int | None) -> str:
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        return str(connection.value("SELECT status::text FROM analysisversion WHERE version = $1::int", version))


def failed_complete(engine: Engine, stack: str, fault: dict[str, object]) -> str:
    """A complete workflow that fails because the graph answers badly."""
    engine.neighbors.faults(**fault)
    record = engine.attempt(RunKind.COMPLETE, stack, as_of=day(30))
    engine.neighbors.mend()
    assert record.status is RunStatus.FAILED
    return record.id


def test_a_cancelled_run_leaves_nothing_and_its_version_says_why(engine: Engine, stack: str) -> None:
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.FREEZE, stack, as_of=day(1)), queue)
    queue += run_unit(engine.services, queue[0].database, queue.pop(0).unit, "tests")
    run_control.cancel(engine.services.cluster, record.id, "somebody")
    engine.drain(queue)
    found = run_records.find_run(engine.services.cluster, record.id, units=True)
    assert (found.status, found.error) == (RunStatus.CANCELLED, "cancelled by somebody")
    assert {unit.status for unit in found.units} == {"DONE", "CANCELLED"}
    assert status_of(engine, stack, record.version) == "FAILED"
    janitor.clean(engine.services.cluster, record.database)
    with engine.services.cluster.connect() as connection:
        assert connection.rows("SELECT 1 FROM pg_database WHERE datname LIKE $1", f"%{record.id}%") == []
    with pytest.raises(BadRequest, match="over already"):
        run_control.cancel(engine.services.cluster, record.id, "somebody")


def test_cancelling_ends_the_statement_of_a_unit_at_work_without_waiting_for_it(engine: Engine) -> None:
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.DUMMY, seconds=(60.0,)), queue)
    work = threading.Thread(target=run_unit, args=(engine.services, queue[0].database, queue[0].unit, "tests"))
    work.start()
    try:
        deadline = time.monotonic() + 10
        while not run_records.find_run(engine.services.cluster, record.id).steps[0].running:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.2)
        begin = time.monotonic()
        run_control.cancel(engine.services.cluster, record.id, "somebody")
        work.join(10)
        assert time.monotonic() - begin < 8
        assert not work.is_alive()
    finally:
        work.join(1)
    assert run_records.find_run(engine.services.cluster, record.id).status is RunStatus.CANCELLED


def test_a_resumed_run_goes_on_at_the_phase_that_failed_and_makes_its_version(engine: Engine, stack: str) -> None:
    run_id = failed_complete(engine, stack, {"wrong_length": True})
    before = run_records.find_run(engine.services.cluster, run_id)
    queue: list[Message] = []
    assert resume(engine.services, run_id, queue.extend).status is RunStatus.RUNNING
    assert status_of(engine, stack, before.version) == "RUNNING"
    assert finish(engine, run_id, queue) is RunStatus.SUCCEEDED
    after = run_records.find_run(engine.services.cluster, run_id)
    assert (after.version, after.as_of, after.error) == (before.version, before.as_of, None)
    twin = engine.run(RunKind.FREEZE, stack, as_of=day(30))
    assert engine.frozen(stack, after.version).equals(engine.frozen(stack, twin.version))


def test_resuming_beside_an_active_run_is_refused(engine: Engine, stack: str) -> None:
    run_id = failed_complete(engine, stack, {"wrong_length": True})
    engine.start_only(RunKind.FREEZE, stack)
    with pytest.raises(RunInProgress):
        resume(engine.services, run_id, lambda _: None)
    assert run_records.find_run(engine.services.cluster, run_id).status is RunStatus.FAILED


def test_a_retry_is_a_new_run_of_the_same_request(engine: Engine, stack: str) -> None:
    run_id = failed_complete(engine, stack, {"wrong_length": True})
    queue: list[Message] = []
    again = retry(engine.services, run_id, queue.extend, "somebody")
    assert again.id != run_id and again.as_of == day(30) and again.requested_by == "somebody"
    assert finish(engine, again.id, queue) is RunStatus.SUCCEEDED
    with pytest.raises(BadRequest, match="SUCCEEDED"):
        resume(engine.services, again.id, queue.extend)


def test_the_request_of_an_upload_is_kept_whole(engine: Engine, stack: str) -> None:
    first = run_records.list_runs(engine.services.cluster, stack)[0]
    with pytest.raises(TableExists, match="synapses"):
        retry(engine.services, first.id, lambda _: None, "somebody")


def test_a_pause_drains_and_an_unpause_goes_on(engine: Engine, stack: str) -> None:
    cluster, volume = engine.services.cluster, f"{stack}_volume"
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.COMPLETE, stack, as_of=day(9)), queue)
    run_control.pause(cluster, stack, [volume], "somebody", "upgrade")
    assert [(each.scope, each.reason, each.at_work) for each in run_control.pauses(cluster)] == [(stack, "upgrade", 0)]
    engine.drain(queue)
    assert not any(step.done or step.running for step in run_records.find_run(cluster, record.id).steps)
    assert engine._due(volume) == []
    assert run_control.unpause(cluster, stack, [volume])
    queue += engine._due(volume)
    assert finish(engine, record.id, queue) is RunStatus.SUCCEEDED
    assert not run_control.unpause(cluster, stack, [volume])


def test_a_pause_of_one_datastack_leaves_others_at_work(engine: Engine, stack: str) -> None:
    run_control.pause(engine.services.cluster, stack[:-1], [f"{stack}_volume"], "somebody")
    engine.run(RunKind.COMPLETE, stack, as_of=day(9))


def test_a_long_run_leaves_room_for_a_later_one(engine: Engine) -> None:
    # Among the messages are those of what other tests left unfinished in the cluster.
    told: list[Message] = []
    long_run = engine.start(RunRequest(RunKind.DUMMY, seconds=(0.0,) * 50), told)
    many = [message for message in told if message.run_id == long_run.id]
    assert len(many) == ledger.WINDOW
    short_run = engine.start(RunRequest(RunKind.DUMMY, seconds=(0.0,)), told)
    one = [message for message in told if message.run_id == short_run.id]
    assert len(one) == 1
    # One worker, one queue: what came first is done first.
    queue = many + one
    while not run_records.find_run(engine.services.cluster, short_run.id).status.over:
        queue += run_unit(engine.services, queue[0].database, queue.pop(0).unit, "tests")
    assert run_records.find_run(engine.services.cluster, long_run.id).steps[0].done <= 2 * ledger.WINDOW + 2
    assert finish(engine, long_run.id, queue) is RunStatus.SUCCEEDED


def test_a_run_shows_what_was_expected_beside_what_it_did(engine: Engine, stack: str) -> None:
    first = engine.run(RunKind.COMPLETE, stack, as_of=day(5)).to_json()["estimate"]
    assert (first["tables"], first["rows"], first["seconds"]) == (1, 2_000, None)
    assert first["free"] > 0 and first["bytes"] > 0
    second = engine.run(RunKind.COMPLETE, stack, as_of=day(6)).to_json()["estimate"]
    assert second["seconds"]["runs"] == 1
    assert second["actual"]["rows"] == 2_000 and second["actual"]["seconds"] > 0
