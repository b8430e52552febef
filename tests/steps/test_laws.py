"""The laws of the design, each with a test that fails without it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg2
import psycopg2.extensions
import pytest

from materializationengine.bootstrap import Services
from materializationengine.domain import errors
from materializationengine.domain.names import build_database, frozen_database
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel import moments
from materializationengine.storage import ledger
from materializationengine.storage.ledger import Message
from materializationengine.storage.live_database import exists
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine, copy_world, ends
from tests.oracle import Oracle, same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


@pytest.fixture
def loaded(engine: Engine, small_world: Path, datastack: str) -> str:
    """A datastack with synapses, uploaded and ingested at the graph's birth."""
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    engine.run(RunKind.INGEST, datastack, as_of=BIRTH)
    return datastack


@contextmanager
def session(engine: Engine, datastack: str) -> Iterator[psycopg2.extensions.connection]:
    """A client of the live database, with an open transaction of its own."""
    with closing(engine.services.cluster.raw(f"{datastack}_volume")) as connection:
        yield connection


def step_by_step(engine: Engine, request: RunRequest, until: str) -> tuple[RunRecord, list[Message]]:
    """Start a run and do its units until the next one is of the given action; returns the messages left."""
    queue: list[Message] = []
    record = engine.start(request, queue)
    while queue[0].action != until:
        message = queue.pop(0)
        queue += run_unit(engine.services, message.database, message.unit, "tests")
    return record, queue


COPY_SYNAPSE = """
INSERT INTO synapses (created, valid, pre_pt_position, post_pt_position, ctr_pt_position, size)
SELECT %s, true, pre_pt_position, post_pt_position, ctr_pt_position, 4711 FROM synapses WHERE id = 1
"""


def test_1_a_freeze_waits_for_a_writer_that_is_older_than_its_moment(engine: Engine, loaded: str) -> None:
    with session(engine, loaded) as writer, writer.cursor() as cursor:
        cursor.execute(COPY_SYNAPSE, (moments.naive(moments.now()),))
        moment = moments.now()
        done: list[RunRecord] = []
        freeze = threading.Thread(target=lambda: done.append(engine.run(RunKind.FREEZE, loaded, as_of=moment)))
        freeze.start()
        time.sleep(1)
        assert not done, "the freeze did not wait"
        writer.commit()
        freeze.join()
    assert 4711 in engine.frozen(loaded, done[0].version)["size"].to_pylist()


def test_1_a_writer_that_never_ends_is_named(engine: Engine, loaded: str) -> None:
    with session(engine, loaded) as writer, writer.cursor() as cursor:
        cursor.execute("SET application_name = 'a forgotten notebook'")
        cursor.execute(COPY_SYNAPSE, (moments.naive(moments.now()),))
        record = engine.attempt(RunKind.FREEZE, loaded, as_of=moments.now())
    assert record.status is RunStatus.FAILED
    assert "a forgotten notebook" in (record.error or "")


def test_2_an_ingest_between_scan_and_apply_is_not_missed(engine: Engine, small_world: Path, loaded: str) -> None:
    request = RunRequest(RunKind.UPDATE_ROOTS, loaded, as_of=day(60))
    record, queue = step_by_step(engine, request, "update_roots.apply")
    with session(engine, loaded) as writer, writer.cursor() as cursor:
        cursor.execute(
            "INSERT INTO synapses (created, valid, pre_pt_position, post_pt_position, ctr_pt_position, size) "
            "SELECT created, true, post_pt_position, pre_pt_position, ctr_pt_position, size FROM synapses"
        )
        # Nobody has looked at half of the volume yet: forget those supervoxels, as if they were new.
        for place in (f"stage_{record.id}_roots", f"stage_{record.id}_asked", "root_held"):
            cursor.execute(f"DELETE FROM matengine.{place} WHERE supervoxel %% 2 = 0", ())
        writer.commit()
    engine.run(RunKind.INGEST, loaded, as_of=BIRTH)
    before = live_pairs(engine, loaded)
    engine.drain(queue)
    replaced = before - live_pairs(engine, loaded)
    assert {supervoxel % 2 for supervoxel, _ in replaced} == {0, 1}
    with engine.services.cluster.connect(f"{loaded}_volume") as connection:
        assert replaced <= set(connection.rows("SELECT supervoxel, root FROM matengine.root_held"))
    assert find_run(engine.services.cluster, record.id).status is RunStatus.SUCCEEDED
    rows = engine.frozen(loaded, engine.run(RunKind.FREEZE, loaded, as_of=day(60)).version)
    assert rows.num_rows == 4_000
    expected = Oracle(small_world).objects_of(ends(rows, "supervoxel_id"), day(60))
    assert same_partition(ends(rows, "root_id"), expected)


def test_2_live_roots_never_go_back(engine: Engine, loaded: str) -> None:
    engine.run(RunKind.UPDATE_ROOTS, loaded, as_of=day(60))
    before = live_roots(engine, loaded)
    engine.run(RunKind.UPDATE_ROOTS, loaded, as_of=day(3))
    assert np.array_equal(before, live_roots(engine, loaded))


def live_pairs(engine: Engine, datastack: str) -> set[tuple[int, int]]:
    table = f"synapses__{datastack}_pcg"
    points = (f"SELECT {side}_pt_supervoxel_id, {side}_pt_root_id FROM {table}" for side in ("pre", "post"))
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        return set(connection.rows(" UNION ".join(points)))


def live_roots(engine: Engine, datastack: str) -> np.ndarray:
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        table = f"synapses__{datastack}_pcg"
        return connection.table(f"SELECT pre_pt_root_id FROM {table} ORDER BY id").column(0).to_numpy()


def test_3_a_missing_chunk_is_owed_and_not_background(
    engine: Engine, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    world = copy_world(small_world, tmp_path / "world")
    (world / "segmentation").unlink()
    (world / "segmentation").mkdir()
    scale = next(path for path in (small_world / "segmentation").iterdir() if path.is_dir())
    (world / "segmentation" / "info").symlink_to(small_world / "segmentation" / "info")
    (world / "segmentation" / scale.name).mkdir()
    chunks = sorted(scale.iterdir())
    for chunk in chunks[1:]:
        (world / "segmentation" / scale.name / chunk.name).symlink_to(chunk)
    engine.load(world, datastack)
    engine.upload_synapses(world, datastack, BIRTH)
    version = engine.run(RunKind.COMPLETE, datastack, as_of=BIRTH).version
    rows = engine.frozen(datastack, version)
    owed = (ends(rows, "supervoxel_id") == -1).sum()
    assert owed > 0
    assert unresolved(engine, datastack) == {"missing_chunk": 2 * owed}
    (world / "segmentation" / scale.name / chunks[0].name).symlink_to(chunks[0])
    again = engine.run(RunKind.COMPLETE, datastack, as_of=BIRTH)
    rows = engine.frozen(datastack, again.version)
    assert (ends(rows, "root_id") != -1).all()
    assert unresolved(engine, datastack) == {}


def unresolved(engine: Engine, datastack: str) -> dict[str, int]:
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        return dict(connection.rows("SELECT reason, count(*) FROM matengine.unresolved GROUP BY reason"))


def test_4_one_exclusive_run_of_a_volume_at_a_time(engine: Engine, loaded: str) -> None:
    queue: list[Message] = []
    active = engine.start(RunRequest(RunKind.COMPLETE, loaded, as_of=day(1)), queue)
    for kind in (RunKind.COMPLETE, RunKind.FREEZE, RunKind.UPDATE_ROOTS):
        with pytest.raises(errors.RunInProgress, match=active.id):
            engine.start(RunRequest(kind, loaded, as_of=day(2)), [])
    engine.run(RunKind.INGEST, loaded)
    engine.drain(queue)
    engine.run(RunKind.FREEZE, loaded, as_of=day(1))


def test_5_a_version_has_its_name_only_when_it_is_available(engine: Engine, loaded: str) -> None:
    request = RunRequest(RunKind.FREEZE, loaded, as_of=day(1))
    record, queue = step_by_step(engine, request, "freeze.publish")
    final = frozen_database(loaded, record.version or 0)
    assert not exists(engine.services.cluster, final)
    assert status_of(engine, loaded, record) == ("RUNNING", False)
    engine.drain(queue)
    assert exists(engine.services.cluster, final)
    assert status_of(engine, loaded, record) == ("AVAILABLE", True)


def status_of(engine: Engine, datastack: str, record: RunRecord) -> tuple[str, bool]:
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        row = connection.one("SELECT status::text, valid FROM analysisversion WHERE version = $1::int", record.version)
    assert row is not None
    return row[0], row[1]


def test_5_whoever_lost_the_run_publishes_nothing(engine: Engine, loaded: str) -> None:
    request = RunRequest(RunKind.FREEZE, loaded, as_of=day(1))
    record, queue = step_by_step(engine, request, "freeze.publish")
    with engine.services.cluster.connect(f"{loaded}_volume") as connection:
        connection.execute("UPDATE matengine.unit SET attempt = attempt + 1 WHERE run_id = $1", record.id)
        connection.commit()
        stale = queue.pop(0)
        # The older attempt reaches its end after a newer one has begun.
        with pytest.raises(errors.StaleUnit):
            finish_as_older_attempt(engine, record, stale)
    assert not exists(engine.services.cluster, frozen_database(loaded, record.version or 0))


def finish_as_older_attempt(engine: Engine, record: RunRecord, message: Message) -> None:
    with engine.services.cluster.connect(record.database) as connection:
        unit = ledger.claim(connection, message.unit, owner="older", lease=60)
        assert unit is not None
        ledger.finish(connection, replace(unit, attempt=unit.attempt - 1), {"rows": 0})


def test_5_a_build_that_differs_from_its_snapshot_fails_and_says_why(engine: Engine, loaded: str) -> None:
    request = RunRequest(RunKind.FREEZE, loaded, as_of=day(1))
    record, queue = step_by_step(engine, request, "freeze.index")
    build = build_database(record.id, 1)
    with closing(engine.services.cluster.raw(build)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE synapses SET size = size + 1 WHERE id = 17")
    engine.drain(queue)
    failed = find_run(engine.services.cluster, record.id)
    assert failed.status is RunStatus.FAILED
    assert "digest" in (failed.error or "")
    assert status_of(engine, loaded, record) == ("FAILED", False)
    assert not exists(engine.services.cluster, build)
    with engine.services.cluster.connect(f"{loaded}_volume") as connection:
        assert "digest" in connection.value("SELECT error ->> 'message' FROM version_error")
    engine.run(RunKind.FREEZE, loaded, as_of=day(1))


def test_5_a_root_that_the_graph_does_not_confirm_fails_the_version(engine: Engine, loaded: str) -> None:
    with session(engine, loaded) as writer, writer.cursor() as cursor:
        cursor.execute(f"UPDATE synapses__{loaded}_pcg SET pre_pt_root_id = pre_pt_root_id + 1 WHERE id = 5")
        writer.commit()
    record = engine.attempt(RunKind.FREEZE, loaded, as_of=BIRTH)
    assert record.status is RunStatus.FAILED
    assert "pre_pt_root_id" in (record.error or "")


def test_6_nobody_is_thrown_out_and_no_key_is_left_unchecked(engine: Engine, loaded: str) -> None:
    with session(engine, loaded) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        before = cursor.fetchone()
        engine.run(RunKind.COMPLETE, loaded, as_of=day(2))
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() == before
        cursor.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated")
        assert cursor.fetchone() == (0,)


def test_2_an_edit_that_is_written_later_than_it_counts_from_is_not_missed(
    engine: Engine, small_world: Path, datastack: str, tmp_path: Path
) -> None:
    world = copy_world(small_world, tmp_path / "world", edits=False)
    engine.load(world, datastack)
    engine.upload_synapses(world, datastack, BIRTH)
    engine.run(RunKind.INGEST, datastack, as_of=moments.now())
    engine.neighbors.faults(visibility_delay_s=1.0, datastack=datastack)
    try:
        moment = merge_two_neurons(engine, world, datastack) + timedelta(milliseconds=200)
        time.sleep(1.5)
    finally:
        engine.neighbors.mend()
    patient = Engine(Services(replace(engine.services.settings, as_of_margin=10.0), "tests"), engine.neighbors)
    version = patient.run(RunKind.COMPLETE, datastack, as_of=moment).version
    patient.services.close()
    rows = engine.frozen(datastack, version)
    expected = Oracle(world).objects_of(ends(rows, "supervoxel_id"), moment)
    assert same_partition(ends(rows, "root_id"), expected)


def merge_two_neurons(engine: Engine, world: Path, datastack: str) -> datetime:
    """Merge the two neurons with the most synapses, now; returns the edit's moment."""
    oracle = Oracle(world)
    bound = np.load(world / "truth/supervoxels.npy").astype(np.int64)
    objects = oracle.objects_of(bound, BIRTH)
    numbers, counts = np.unique(objects[objects != 0], return_counts=True)
    ids = [int(bound[objects == one][0]) for one in numbers[np.argsort(counts)[-2:]]]
    now = moments.now()
    stamp = now.replace(microsecond=now.microsecond // 1000 * 1000)
    edit = {
        "operation_id": 1,
        "timestamp": stamp.isoformat(timespec="milliseconds"),
        "type": "merge",
        "supervoxels": ids,
    }
    (world / "graph/edits.jsonl").write_text(json.dumps(edit) + "\n")
    engine.edit(datastack)
    return stamp
