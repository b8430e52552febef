"""Retiring versions on a real server: marked before dropped, and only what nobody needs."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from materializationengine.domain.errors import BadRequest, TableExists, UnknownTable, VersionNotAvailable
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.storage import live_database, retention, run_records, version_care
from tests.harness import Engine

DAY1 = moments.parse("2026-01-02T00:00:00+00:00")
PAST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    """Three versions of an empty datastack, all expired."""
    engine.load(small_world, datastack)
    for _ in range(3):
        engine.run(RunKind.FREEZE, datastack, as_of=DAY1)
    change(engine, datastack, "UPDATE analysisversion SET expires_on = '2026-01-01'")
    return datastack


def change(engine: Engine, stack: str, statement: str) -> None:
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        connection.execute(statement)
        connection.commit()


def statuses(engine: Engine, stack: str) -> dict[tuple[str, int], str]:
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        rows = connection.rows("SELECT datastack, version, status::text FROM analysisversion")
    return {(name, version): status for name, version, status in rows}


def databases(engine: Engine, stack: str) -> set[str]:
    with engine.services.cluster.connect() as connection:
        return {name for (name,) in connection.rows("SELECT datname FROM pg_database WHERE datname ~ '__mat'")
                if name.startswith(stack)}  # fmt: skip


def care(engine: Engine, stack: str, deed: Any, *arguments: Any) -> None:
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        deed(connection, *arguments)
        connection.commit()


def test_expired_versions_go_and_the_newest_stays(engine: Engine, stack: str) -> None:
    record = engine.run(RunKind.RETIRE, stack)
    assert databases(engine, stack) == {f"{stack}__mat3"}
    assert set(statuses(engine, stack).values()) == {"EXPIRED", "AVAILABLE"}
    assert (record.steps[0].rows, record.steps[1].rows) == (2, 2)
    assert record.units[0].facts["kept"] == {"is among the newest valid versions that stay": 1}
    engine.run(RunKind.RETIRE, stack)
    assert databases(engine, stack) == {f"{stack}__mat3"}


def test_a_crash_between_mark_and_drop_is_mended_by_the_next_run(engine: Engine, stack: str) -> None:
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        retention.retire(connection, moments.now(), stack, 1)
    assert len(databases(engine, stack)) == 3
    engine.run(RunKind.RETIRE, stack)
    assert databases(engine, stack) == {f"{stack}__mat3"}


def test_a_reader_in_an_expired_version_does_not_keep_it(engine: Engine, stack: str) -> None:
    with closing(engine.services.cluster.raw(f"{stack}__mat1")):
        engine.run(RunKind.RETIRE, stack)
    assert databases(engine, stack) == {f"{stack}__mat3"}


def test_hole_9_a_version_being_made_and_a_name_that_begins_alike_are_never_dropped(engine: Engine, stack: str) -> None:
    """Hole 9: all versions that are not valid were candidates, RUNNING ones too, and databases matched by prefix."""
    change(engine, stack, "UPDATE analysisversion SET status = 'RUNNING', valid = false WHERE version = 1")
    change(engine, stack, f"UPDATE analysisversion SET datastack = '{stack}x' WHERE version = 2")
    engine.run(RunKind.RETIRE, stack)
    assert databases(engine, stack) == {f"{stack}__mat{n}" for n in (1, 2, 3)}
    assert statuses(engine, stack) == {
        (stack, 1): "RUNNING", (f"{stack}x", 2): "AVAILABLE", (stack, 3): "AVAILABLE",
    }  # fmt: skip


def test_a_live_database_is_never_dropped_whatever_its_name(engine: Engine, stack: str) -> None:
    change(engine, stack, "UPDATE analysisversion SET version = 9, status = 'EXPIRED' WHERE version = 1")
    live_database.ensure(engine.services.cluster, f"{stack}__mat9")
    engine.run(RunKind.RETIRE, stack)
    assert f"{stack}__mat9" in databases(engine, stack)


def test_a_pinned_version_and_the_parent_of_a_virtual_one_stay(engine: Engine, stack: str) -> None:
    care(engine, stack, version_care.set_pin, stack, 1, True, "somebody")
    change(engine, stack, "INSERT INTO analysistables (aligned_volume, schema, table_name, valid, created, "
           "analysisversion_id) SELECT 'v', 'synapse', 'synapses', true, now(), id FROM analysisversion")  # fmt: skip
    care(engine, stack, version_care.create_virtual, stack, 2, f"{stack}_public", ["synapses"], moments.now())
    care(engine, stack, version_care.set_expiry, stack, 2, PAST)
    engine.run(RunKind.RETIRE, stack, keep=1)
    assert databases(engine, stack) == {f"{stack}__mat{n}" for n in (1, 2, 3)}
    care(engine, stack, version_care.set_pin, stack, 1, False, "somebody")
    care(engine, stack, version_care.set_expiry, f"{stack}_public", 2, PAST)
    engine.run(RunKind.RETIRE, stack)
    assert databases(engine, stack) == {f"{stack}__mat{n}" for n in (2, 3)}
    engine.run(RunKind.RETIRE)
    assert databases(engine, stack) == {f"{stack}__mat3"}
    assert statuses(engine, stack)[f"{stack}_public", 2] == "EXPIRED"


def test_a_virtual_version_lives_as_long_as_its_parent(engine: Engine, stack: str) -> None:
    change(engine, stack, "INSERT INTO analysistables (aligned_volume, schema, table_name, valid, created, "
           "analysisversion_id) SELECT 'v', 'synapse', t, true, now(), id FROM analysisversion, "
           "unnest(ARRAY['a', 'b']) t")  # fmt: skip
    care(engine, stack, version_care.create_virtual, stack, 1, f"{stack}_public", ["b"], moments.now())
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        found = connection.rows("SELECT expires_on, parent_version IS NULL FROM analysisversion WHERE version = 1")
        tables = connection.rows("SELECT table_name FROM analysistables t JOIN analysisversion v ON "
                                 "v.id = t.analysisversion_id WHERE v.datastack = $1", f"{stack}_public")  # fmt: skip
    expected = moments.naive(PAST + timedelta(days=36_525))
    assert sorted(found) == [(expected, False), (expected, True)]
    assert tables == [("b",)]
    for error, arguments in (
        (UnknownTable, (stack, 1, "other", ["c"])),
        (BadRequest, (stack, 1, "other", [])),
        (TableExists, (stack, 1, f"{stack}_public", ["a"])),
        (BadRequest, (f"{stack}_public", 1, "other", ["b"])),
    ):
        with pytest.raises(error):
            care(engine, stack, version_care.create_virtual, *arguments, moments.now())
    with pytest.raises(BadRequest, match=f"{stack}_public"):
        care(engine, stack, version_care.end, stack, 1)


def test_an_expired_version_cannot_be_pinned(engine: Engine, stack: str) -> None:
    engine.run(RunKind.RETIRE, stack)
    with pytest.raises(VersionNotAvailable):
        care(engine, stack, version_care.set_pin, stack, 1, True, "somebody")


def test_old_runs_are_summed_up_then_forgotten(engine: Engine, stack: str) -> None:
    cluster, volume = engine.services.cluster, f"{stack}_volume"
    before = run_records.list_runs(cluster, stack)
    with cluster.connect(volume) as connection:
        retention.prune(connection, moments.now() + timedelta(days=31), unit_days=30, run_days=365)
        assert connection.value("SELECT count(*) FROM matengine.unit") == 0
        connection.commit()
    after = run_records.list_runs(cluster, stack)
    assert [record.steps for record in after] == [record.steps for record in before]
    assert {record.status for record in after} == {RunStatus.SUCCEEDED}
    with cluster.connect(volume) as connection:
        assert retention.prune(connection, moments.now() + timedelta(days=366), unit_days=30, run_days=365).runs == 3
        assert retention.prune(connection, moments.now() + timedelta(days=366), unit_days=30, run_days=365).runs == 0
