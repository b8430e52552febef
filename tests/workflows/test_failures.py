"""What a unit says when it fails is kept, however quick a sweeper is."""

from __future__ import annotations

from typing import Any

import pytest

from materializationengine.domain.plan import RunKind
from materializationengine.storage import ledger, run_control
from materializationengine.storage.ledger import Message
from materializationengine.workflows import execute
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("passing", [False, True])
def test_a_sweep_between_a_failure_and_its_note_does_not_take_it_for_a_dead_worker(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, broken: bool, passing: bool
) -> None:
    def fail(work: Any, _: Any) -> None:
        if broken:
            pid = work.connection.value("SELECT pg_backend_pid()")
            with engine.services.cluster.connect() as other:
                other.rows("SELECT pg_terminate_backend($1::int, 5000)", pid)
        raise OSError("no room") if passing else ValueError("no sense")

    def note_late(*args: Any) -> None:
        with engine.services.cluster.connect() as other:
            ledger.sweep(other, engine.services.cluster.home, resend=60)
        note(*args)

    note = execute._give_up_or_retry
    monkeypatch.setattr(execute, "perform", fail)
    monkeypatch.setattr(execute, "_give_up_or_retry", note_late)
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.DUMMY, seconds=(0.01,)), queue)
    unit = next(message.unit for message in queue if message.run_id == record.id)
    assert execute.run_unit(engine.services, record.database, unit, "tests") == []
    with engine.services.cluster.connect() as connection:
        statement = "SELECT status, attempt, failures, error FROM matengine.unit WHERE id = $1::bigint"
        found = connection.one(statement, unit)
        status = connection.value("SELECT status FROM matengine.run WHERE id = $1", record.id)
    if passing:
        run_control.cancel(engine.services.cluster, record.id, "tests")
        assert (found, status) == (("READY", 1, 1, "OSError: no room"), "RUNNING")
    else:
        assert (found, status) == (("FAILED", 1, 1, "ValueError: no sense"), "FAILED")
