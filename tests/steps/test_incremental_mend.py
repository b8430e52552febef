"""A mend that breaks between its two databases: the swap is done, the registry does not know yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from materializationengine.bootstrap import Services
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.storage import ledger
from materializationengine.storage.ledger import Message
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine
from tests.steps.test_incremental import day, digests, facts, recorded, spoil, two_versions


@pytest.fixture
def impatient(engine: Engine) -> Iterator[Engine]:
    """An engine that waits half a second for a lock."""
    services = Services(replace(engine.services.settings, lock_timeout=0.5), "impatient")
    yield Engine(services, engine.neighbors)
    services.close()


def test_a_swap_that_the_registry_was_not_told_of_is_told_by_the_next_attempt(
    engine: Engine, impatient: Engine, small_world: Path, datastack: str
) -> None:
    base, version = two_versions(engine, small_world, datastack)
    before = digests(engine, datastack, version)
    spoil(engine, datastack, version)
    queue: list[Message] = []
    request = RunRequest(RunKind.INCREMENTAL, datastack, base_version=base, mends=version)
    record = impatient.start(request, queue)
    while queue[0].action != "mend.swap_in":
        queue += run_unit(impatient.services, queue[0].database, queue.pop(0).unit, "tests")
    with closing(engine.services.cluster.raw(f"{datastack}_volume")) as other, other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM analysisversion WHERE version = %s FOR UPDATE", (version,))
        assert run_unit(impatient.services, queue[0].database, queue[0].unit, "tests") == []
    assert recorded(engine, datastack, version) == []
    with engine.services.cluster.connect(record.database) as connection:
        impatient.drain(ledger.sweep(connection, record.database, resend=0))
    done = find_run(engine.services.cluster, record.id, units=True)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert facts(done, "mend.swap_in") == {"mended": ["synapses"], "revision": 1}
    assert next(unit for unit in done.units if unit.action == "mend.swap_in").attempt == 2
    assert digests(engine, datastack, version) == before
    assert engine.run(RunKind.FREEZE, datastack, as_of=day(40)).status is RunStatus.SUCCEEDED
