"""A version that a run reads or mends is nobody's to drop, and a build without a live database is nobody's to keep."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from materializationengine.domain.errors import BadRequest
from materializationengine.domain.names import build_database
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.retention import Keep
from materializationengine.kernel import moments
from materializationengine.storage import incremental_base, janitor, retention, version_care
from materializationengine.storage.frozen_build import create_build
from materializationengine.storage.ledger import Message
from materializationengine.storage.live_database import ensure
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.requests import RunRequest
from materializationengine.workflows.sweeper import Rounds
from tests.harness import Engine

DAY1 = moments.parse("2026-01-02T00:00:00+00:00")
FAR = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    """Three versions of an empty datastack, all expired."""
    engine.load(small_world, datastack)
    for _ in range(3):
        engine.run(RunKind.FREEZE, datastack, as_of=DAY1)
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        connection.execute("UPDATE analysisversion SET expires_on = '2026-01-01'")
        connection.commit()
    return datastack


@pytest.mark.parametrize("mends", [None, 2])
def test_the_base_of_a_run_stays_until_the_run_is_over(engine: Engine, stack: str, mends: int | None) -> None:
    queue: list[Message] = []
    as_of = DAY1 if mends is None else None
    record = engine.start(RunRequest(RunKind.INCREMENTAL, stack, as_of=as_of, base_version=1, mends=mends), queue)
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        decision = retention.retire(connection, FAR, stack, 1)
        reasons = dict(decision.kept)
        held = [1] if mends is None else [1, 2]
        assert [reasons.get(number) for number in held] == [Keep.IN_USE] * len(held)
        assert len(decision.retire) == 2 - len(held)
        with pytest.raises(BadRequest, match="read by a run"):
            version_care.end(connection, stack, 1)
        connection.rollback()
        # Somebody else's program has marked it: the database stays as long as it is read.
        connection.execute("UPDATE analysisversion SET status = 'EXPIRED' WHERE version = 1")
        connection.commit()
        dead = {each.version for each in retention.dead_databases(connection, stack)}
        assert dead == ({2} if mends is None else set())
        connection.execute("UPDATE analysisversion SET status = 'AVAILABLE', valid = true WHERE version = 1")
        connection.commit()
    while queue:
        queue += run_unit(engine.services, queue[0].database, queue.pop(0).unit, "tests")
    found = find_run(engine.services.cluster, record.id)
    assert found.status is RunStatus.SUCCEEDED, found.error
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        assert 1 in retention.retire(connection, FAR, stack, 1).retire


def test_a_retirement_waits_for_a_run_that_is_being_launched(engine: Engine, stack: str) -> None:
    """The launch has chosen its base and not committed yet: the retirement waits, and then knows of the run."""
    datastack = engine.services.datastacks.get(stack)
    decided: list[retention.Decision] = []

    def retire() -> None:
        with engine.services.cluster.connect(f"{stack}_volume") as other:
            decided.append(retention.retire(other, FAR, stack, 1))

    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        incremental_base.base_version(connection, datastack, 1, DAY1)
        beside = threading.Thread(target=retire)
        beside.start()
        beside.join(1)
        assert beside.is_alive() and decided == []
        plan = '{"steps": [], "incremental": {"database": "' + f"{stack}__mat1" + '"}}'
        connection.execute(
            "INSERT INTO matengine.run (id, kind, datastack, exclusive, plan, requested_by) "
            "VALUES ('00000000beef', 'incremental', $1, true, $2::jsonb, 'tests')",
            *(stack, plan),
        )
        connection.commit()
    beside.join(10)
    assert decided[0].retire == (2,) and (1, Keep.IN_USE) in decided[0].kept


def test_a_build_whose_live_database_was_dropped_by_hand_goes_and_others_stay(engine: Engine, stack: str) -> None:
    cluster, gone = engine.services.cluster, f"{stack}_gone"
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.FREEZE, stack, as_of=DAY1), queue)
    while queue[0].action != "freeze.index" and queue[0].action != "views.build":
        queue += run_unit(engine.services, queue[0].database, queue.pop(0).unit, "tests")
    ensure(cluster, gone)
    orphan, odd = build_database("0123456789ab", 1), "matengine_build_of_somebody"
    for build in (orphan, odd):
        create_build(cluster, build)
    drop(engine, gone)
    try:
        rounds = Rounds(engine.services)
        rounds(resend=60)
        rounds.close()
        with cluster.connect() as connection:
            names = {name for (name,) in connection.rows("SELECT datname FROM pg_database")}
        assert orphan not in names and {build_database(record.id, 1), odd} <= names
        assert janitor.drop_orphans(cluster) == []
    finally:
        drop(engine, odd)
    while queue:
        queue += run_unit(engine.services, queue[0].database, queue.pop(0).unit, "tests")
    assert find_run(cluster, record.id).status is RunStatus.SUCCEEDED


def drop(engine: Engine, database: str) -> None:
    engine.services.cluster.forget(database)
    with closing(engine.services.cluster.raw()) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
