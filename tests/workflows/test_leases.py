"""A unit may last longer than a lease, as a copy of a large table does; only one without news is taken over."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.storage import leases, ledger, run_control
from materializationengine.storage.ledger import Message
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine
from tests.workflows.workers import wait_for

LEASE = 3.0
"""Seconds; long enough for a renewal to come in time on a busy machine."""


@pytest.fixture
def impatient(engine: Engine) -> Engine:
    engine.services.settings = replace(engine.services.settings, lease=LEASE)
    return engine


def sweep_beside(engine: Engine, queue: list[Message], seconds: float) -> None:
    """Let this process work, and a sweeper look for lost work meanwhile."""
    worker = threading.Thread(target=engine.drain, args=(queue,))
    worker.start()
    end = time.monotonic() + seconds
    with engine.services.cluster.connect() as connection:
        while time.monotonic() < end and worker.is_alive():
            ledger.sweep(connection, engine.services.cluster.home, resend=60)
            time.sleep(0.1)
    worker.join()


@pytest.mark.faults  # four leases long
def test_a_unit_that_lasts_longer_than_its_lease_is_left_alone(impatient: Engine) -> None:
    queue: list[Message] = []
    record = impatient.start(RunRequest(RunKind.DUMMY, seconds=(2 * LEASE,)), queue)
    sweep_beside(impatient, queue, 300)
    done = wait_for(impatient, record.id, 1)
    assert done.status is RunStatus.SUCCEEDED
    assert {unit.attempt for unit in done.units} == {1}
    with impatient.services.cluster.connect() as connection:
        ledger.sweep(connection, impatient.services.cluster.home, resend=60)
        assert connection.value("SELECT count(*) FROM matengine.renewed_lease") == 0


def test_a_unit_without_news_is_taken_over(impatient: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_IN_TIME", 1e-3)
    queue: list[Message] = []
    record = impatient.start(RunRequest(RunKind.DUMMY, seconds=(60.0,)), queue)
    sweep_beside(impatient, queue, 300)
    with impatient.services.cluster.connect() as connection:
        status, attempt = connection.rows(
            "SELECT status, attempt FROM matengine.unit WHERE run_id = $1 ORDER BY id", record.id
        )[0]
    run_control.cancel(impatient.services.cluster, record.id, "tests")
    assert (status, attempt) == ("READY", 1)
