"""One test for each hole that is known of the system we replace. The first line of each says what went wrong there."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from materializationengine.domain import errors
from materializationengine.domain.datastack import Datastack
from materializationengine.domain.names import build_database, frozen_database
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.ports import Datastacks
from materializationengine.kernel import moments
from materializationengine.kernel.columns import DriverError
from materializationengine.storage import annotation_catalog, annotations, janitor, views
from materializationengine.storage.root_history import Present, roots_at
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.requests import UploadRequest
from tests.harness import Engine
from tests.holes.conftest import BIRTH, TABLE, Lab, day, edit_times, open_lab

ROWS = 40


def names(table: Any) -> list[int]:
    return table["id"].to_pylist()


def test_hole_01_an_ingest_moves_the_mark_over_roots_that_it_did_not_update(lab: Lab) -> None:
    lab.post(ROWS)
    lab.run(RunKind.INGEST, as_of=day(10))
    lab.post(ROWS // 2)
    lab.run(RunKind.INGEST, as_of=day(40))
    assert lab.mark() == day(10) and lab.true_at(lab.live(), day(10))
    lab.run(RunKind.UPDATE_ROOTS, as_of=day(50))
    assert lab.mark() == day(50) and lab.true_at(lab.live(), day(50))


def test_hole_02_a_row_deleted_or_replaced_after_the_moment_vanishes_from_the_version(lab: Lab) -> None:
    first, second, third = lab.post(3)
    moment = moments.now()
    lab.delete([first])
    ((_, successor),) = lab.update([{"id": second, "size": 99.0}]).items()
    rows = lab.frozen(lab.run(RunKind.COMPLETE, as_of=moment))
    assert names(rows) == [first, second, third] and 99.0 not in rows["size"].to_pylist()
    assert names(lab.frozen(lab.run(RunKind.COMPLETE))) == [third, successor]


def test_hole_03_a_delete_during_the_check_fails_the_version_and_contents_are_never_checked(lab: Lab) -> None:
    first, *others = lab.post(5)
    record, queue = lab.start(RunKind.COMPLETE)
    lab.until(queue, "freeze.index")
    lab.delete([first])
    assert names(lab.frozen(lab.finish(record, queue))) == [first, *others]
    record, queue = lab.start(RunKind.FREEZE)
    lab.until(queue, "freeze.index")
    lab.do(f"UPDATE {TABLE} SET size = 12345 WHERE id = {others[0]}", build_database(record.id, 1))
    lab.engine.drain(queue)
    found = lab.record(record)
    assert found.status is RunStatus.FAILED and "digest" in (found.error or "")


def test_hole_04_roots_of_live_inserts_stay_null_when_no_root_expired(lab: Lab) -> None:
    lab.post(ROWS)
    lab.run(RunKind.UPDATE_DATABASE, as_of=day(60.5))
    new = lab.post(3)
    lab.run(RunKind.LOOKUP_SVID, table=TABLE, annotation_ids=new)
    record = lab.run(RunKind.UPDATE_ROOTS)
    assert record.units[0].facts["expired_roots"] == 0 and lab.true_at(lab.live(), moments.now())


def test_hole_05_large_tables_are_not_ingested_and_a_row_without_ids_fails_the_version(lab: Lab) -> None:
    lab.with_settings(ingest_batch=7)
    lab.post(ROWS)
    unbound = lab.frozen(lab.run(RunKind.FREEZE))
    assert len(names(unbound)) == ROWS and unbound["pre_pt_root_id"].null_count == ROWS
    record = lab.run(RunKind.COMPLETE)
    assert sum(unit.action == "ingest.look_up" for unit in record.units) == -(-ROWS // 7)
    assert lab.true_at(lab.frozen(record), moments.now())


def test_hole_06_a_failed_look_up_is_stored_as_background_for_ever(lab: Lab) -> None:
    lab.post(ROWS)
    lab.engine.neighbors.faults(zero_roots=True, datastack=lab.name)
    try:
        lab.run(RunKind.INGEST, as_of=day(5))
    finally:
        lab.engine.neighbors.mend()
    inside = int((lab.live()["pre_pt_supervoxel_id"].to_numpy() != 0).sum())
    assert lab.live()["pre_pt_root_id"].null_count == inside > 0
    reasons = lab.rows("SELECT DISTINCT reason, attempts FROM matengine.unresolved")
    assert reasons == [("unknown_to_graph", 1)]
    lab.run(RunKind.INGEST, as_of=day(5))
    assert lab.true_at(lab.live(), day(5)) and lab.rows("SELECT * FROM matengine.unresolved") == []


def test_hole_07_a_look_up_leaves_the_live_table_without_key_and_indexes(lab: Lab) -> None:
    lab.post(ROWS)
    lab.run(RunKind.COMPLETE)
    table = f"{TABLE}__{lab.name}_pcg"
    found = lab.rows("SELECT indexdef FROM pg_indexes WHERE tablename = $1", table)
    text = " ".join(definition for (definition,) in found)
    assert all(f"({column})" in text for column in ("id", "pre_pt_root_id", "post_pt_root_id"))
    assert f"{table}_pkey" in text and lab.mark() is not None


def test_hole_08_a_freeze_does_nothing_and_leaves_a_running_version(lab: Lab) -> None:
    lab.post(3)
    record = lab.run(RunKind.FREEZE)
    assert lab.rows("SELECT version, status::text, valid FROM analysisversion") == [(record.version, "AVAILABLE", True)]
    assert len(names(lab.frozen(record))) == 3


def test_hole_09_a_cleaner_drops_a_database_under_construction(lab: Lab) -> None:
    lab.post(3)
    record, queue = lab.start(RunKind.FREEZE)
    lab.until(queue, "freeze.index")
    build = build_database(record.id, 1)
    assert build not in janitor.clean(lab.engine.services.cluster, lab.database)
    done = lab.finish(record, queue)
    janitor.clean(lab.engine.services.cluster, lab.database)
    assert len(names(lab.frozen(done))) == 3


def test_hole_10_an_error_before_the_last_step_leaves_the_version_running_for_ever(lab: Lab) -> None:
    lab.post(3)
    lab.with_settings(max_attempts=2)
    lab.engine.neighbors.faults(segmentation={"status": 503}, datastack=lab.name)
    try:
        record = lab.engine.attempt(RunKind.COMPLETE, lab.name)
    finally:
        lab.engine.neighbors.mend()
    assert record.status is RunStatus.FAILED and "503" in (record.error or "")
    assert lab.rows("SELECT status::text, valid FROM analysisversion") == [("FAILED", False)]
    ((message,),) = lab.rows("SELECT error ->> 'message' FROM version_error")
    assert message == record.error
    lab.run(RunKind.COMPLETE)


def test_hole_11_tables_of_one_version_are_of_different_moments_and_modes_give_different_rows(lab: Lab) -> None:
    lab.make("tags", "reference_tag", TABLE)
    targets = lab.post(4)
    tags = lab.post([{"target_id": target, "tag": "old"} for target in targets], "tags")
    lab.delete(tags[:1], "tags")
    moment = moments.now()
    lab.post([{"target_id": targets[0], "tag": "later"}], "tags")
    lab.delete(targets[3:])
    merged = lab.run(RunKind.COMPLETE, as_of=moment)
    split = lab.run(RunKind.FREEZE, as_of=moment, split=True)
    rows = lab.frozen(merged, "tags")
    assert names(rows) == tags[1:] and set(rows.column_names) == {"id", "tag", "valid", "target_id"}
    assert lab.frozen(split, "tags").select(rows.column_names).equals(rows)
    assert names(lab.frozen(merged)) == names(lab.frozen(split)) == targets


def test_hole_11_a_row_that_comes_during_the_copy_is_in_no_table_of_the_version(lab: Lab) -> None:
    """Both tables are read from one snapshot, at one moment."""
    lab.make("tags", "reference_tag", TABLE)
    first = lab.post(2)
    record, queue = lab.start(RunKind.FREEZE)
    lab.until(queue, "freeze.copy")
    (late,) = lab.post(1)
    lab.post([{"target_id": late, "tag": "late"}], "tags")
    done = lab.finish(record, queue)
    assert names(lab.frozen(done)) == first and names(lab.frozen(done, "tags")) == []


def test_hole_12_a_plain_table_breaks_every_merged_version(lab: Lab) -> None:
    lab.make("plain", "pt_bool_valid")
    position = lab.places[0].tolist()
    ids = lab.post([{"pt_position": position, "tag": True, "valid_id": 2**60}], "plain")
    rows = lab.frozen(lab.run(RunKind.COMPLETE), "plain")
    assert names(rows) == ids and rows["valid_id"].to_pylist() == [2**60]


def test_hole_13_two_versions_get_one_number(lab: Lab) -> None:
    lab.post(2)
    numbers = [lab.run(RunKind.FREEZE).version for _ in range(2)]
    assert len(set(numbers)) == 2
    with pytest.raises(DriverError, match="analysisversion_datastack_version_key"):
        lab.do(
            "INSERT INTO analysisversion (datastack, version, time_stamp, status) "
            f"VALUES ('{lab.name}', {numbers[0]}, now(), 'RUNNING')"
        )


def test_hole_14_a_message_that_comes_twice_doubles_rows_or_fails_the_run(lab: Lab) -> None:
    lab.post(ROWS)
    record, queue = lab.start(RunKind.COMPLETE, as_of=moments.now())
    done = []
    while queue:
        message = queue.pop(0)
        queue += run_unit(lab.engine.services, message.database, message.unit, "tests")
        queue += run_unit(lab.engine.services, message.database, message.unit, "tests again")
        done.append(message)
    for message in done:
        assert run_unit(lab.engine.services, message.database, message.unit, "tests late") == []
    found = lab.record(record)
    assert found.status is RunStatus.SUCCEEDED and {unit.attempt for unit in found.units} == {1}
    assert len(names(lab.frozen(found))) == ROWS
    assert lab.rows("SELECT table_name FROM analysistables") == [(TABLE,)]
    assert lab.rows(
        "SELECT row_count::bigint FROM materializedmetadata", database=frozen_database(lab.name, found.version or 0)
    ) == [(ROWS,)]


def test_hole_15_a_late_run_of_an_older_moment_overwrites_newer_roots(lab: Lab) -> None:
    lab.post(ROWS)
    lab.run(RunKind.UPDATE_DATABASE, as_of=day(50))
    lab.run(RunKind.UPDATE_DATABASE, as_of=day(10), everything=True)
    assert lab.mark() == day(50) and lab.true_at(lab.live(), day(50))


def test_hole_16_a_deleted_table_is_still_in_new_versions(lab: Lab) -> None:
    lab.make("gone", "nocenter_synapse")
    lab.post(2, "gone")
    before = moments.now()
    with annotations.writing(lab.engine.services.cluster, lab.database) as connection:
        annotation_catalog.remove(connection, annotations.hold(connection, "gone"))
    after, earlier = lab.run(RunKind.COMPLETE), lab.run(RunKind.COMPLETE, as_of=before)
    listed = "SELECT t.table_name FROM analysistables t JOIN analysisversion v ON v.id = t.analysisversion_id "
    where = "WHERE v.version = $1::int ORDER BY 1"
    assert lab.rows(listed + where, after.version) == [(TABLE,)]
    assert lab.rows(listed + where, earlier.version) == [(TABLE,), ("gone",)]
    assert len(names(lab.frozen(earlier, "gone"))) == 2


@pytest.mark.parametrize("split", [False, True])
def test_hole_17_request_and_configuration_disagree_on_whether_a_version_is_merged(lab: Lab, split: bool) -> None:
    lab.post(2)
    record = lab.run(RunKind.COMPLETE, split=split)
    database = frozen_database(lab.name, record.version or 0)
    assert lab.rows("SELECT is_merged FROM analysisversion") == [(not split,)]
    assert lab.rows("SELECT is_merged FROM materializedmetadata", database=database) == [(not split,)]
    found = lab.rows("SELECT to_regclass($1) IS NOT NULL", f"{TABLE}__{lab.name}_pcg", database=database)
    assert found == [(split,)]


def test_hole_18_foreign_keys_are_dropped_on_the_way_and_never_come_back(lab: Lab) -> None:
    lab.make("tags", "reference_tag", TABLE)
    lab.post(ROWS)

    def keys() -> list[tuple[str, bool]]:
        return lab.rows("SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f' AND conname ~ $1", TABLE)

    lab.run(RunKind.COMPLETE, as_of=day(10))
    before = keys()
    assert [valid for _, valid in before] == [True]
    lab.do(f'UPDATE "{TABLE}__{lab.name}_pcg" SET pre_pt_root_id = 5 WHERE id = 1')
    lab.run(RunKind.REMOVE_BAD_ROOTS, table=TABLE, bad_roots=(5,))
    lab.run(RunKind.SPARSE_MISSING_ROOTS, table=TABLE)
    lab.run(RunKind.COMPLETE, as_of=day(50))
    assert keys() == before
    tags = lab.rows(
        "SELECT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND conrelid = 'tags'::regclass"
    )
    assert tags == [(TABLE,)]


def test_hole_19_an_edit_that_becomes_visible_late_is_never_asked_for_again(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    """An edit shows itself after an update of a later moment; the next window reaches back to it."""
    delay, edit, after = 12.0, *edit_times(small_world)[4:6]
    engine.load(small_world, datastack, edit - timedelta(seconds=1))
    lab = open_lab(engine, small_world, datastack)
    lab.with_settings(delta_margin=600.0)
    lab.post(1000)
    lab.run(RunKind.UPDATE_DATABASE, as_of=edit - timedelta(seconds=1))
    engine.neighbors.faults(visibility_delay_s=delay, datastack=datastack)
    engine.edit(datastack, edit)
    shown = time.monotonic() + delay + 1
    try:
        lab.run(RunKind.UPDATE_ROOTS, as_of=edit + timedelta(seconds=60))
        assert lab.true_at(lab.live(), edit - timedelta(seconds=1))
    finally:
        engine.neighbors.mend()
    time.sleep(max(0, shown - time.monotonic()))
    assert after > edit + timedelta(seconds=120)
    lab.run(RunKind.UPDATE_ROOTS, as_of=edit + timedelta(seconds=120))
    assert lab.true_at(lab.live(), edit) and not lab.true_at(lab.live(), edit - timedelta(seconds=1))
    # What the update in between saw, and wrote down, is not remembered as the truth.
    live = lab.live()
    supervoxels, places = np.unique(live["pre_pt_supervoxel_id"].to_numpy(), return_index=True)
    present = Present(live["pre_pt_root_id"].to_numpy()[places], edit + timedelta(seconds=120))
    between = edit + timedelta(seconds=30)
    with engine.services.cluster.connect(lab.database) as connection:
        found = roots_at(connection, f"{datastack}_pcg", supervoxels, between, present)
    truth = engine.services.graph(engine.services.datastacks.get(datastack)).roots(supervoxels, between)
    assert found.resolved.any() and (found.roots == truth.roots)[found.resolved].all()


def test_hole_20_a_freeze_ends_the_sessions_of_everybody_in_the_live_database(lab: Lab) -> None:
    lab.post(3)
    with closing(lab.engine.services.cluster.raw(lab.database, "somebody")) as reader, reader.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {TABLE}")
        lab.run(RunKind.COMPLETE)
        cursor.execute(f"SELECT count(*) FROM {TABLE}")
        assert cursor.fetchall() == [(3,)]


@dataclass
class Twins(Datastacks):
    """Every name is a datastack on the same aligned volume."""

    real: Datastacks
    name: str

    def names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}_twin")

    def get(self, name: str) -> Datastack:
        return replace(self.real.get(self.name), name=name)


def test_hole_21_runs_that_spoil_each_other_are_not_kept_apart(lab: Lab) -> None:
    """By hand or by clock, with other arguments, of another datastack on the same volume: one at a time."""
    lab.post(3)
    lab.engine.services.datastacks = Twins(lab.engine.services.datastacks, lab.name)
    record, queue = lab.start(RunKind.UPDATE_DATABASE)
    for name in (lab.name, f"{lab.name}_twin"):
        for kind in (RunKind.UPDATE_DATABASE, RunKind.UPDATE_ROOTS, RunKind.COMPLETE, RunKind.FREEZE):
            with pytest.raises(errors.RunInProgress, match=record.id):
                lab.engine.attempt(kind, name, everything=True)
    lab.finish(record, queue)
    twin = lab.engine.run(RunKind.COMPLETE, f"{lab.name}_twin")
    own = lab.run(RunKind.FREEZE)
    assert twin.version != own.version and len(names(lab.frozen(own))) == 3


def test_hole_22_a_failed_load_leaves_an_empty_table_and_names_are_put_into_sql(lab: Lab, tmp_path: Path) -> None:
    ids = lab.post(3)
    np.save(tmp_path / "bad.npy", np.array([[1.0, np.nan, 2.0]]))
    mapping = {"bad": "pt_position"}
    for table, error in ((TABLE, errors.TableExists), (f'x"; DROP TABLE {TABLE}; --', errors.BadName)):
        upload = UploadRequest(table, "bound_tag", str(tmp_path), mapping)
        with pytest.raises(error):
            lab.engine.attempt(RunKind.BULK_UPLOAD, lab.name, upload=upload)
    upload = UploadRequest("fresh", "representative_point", str(tmp_path), mapping)
    assert lab.engine.attempt(RunKind.BULK_UPLOAD, lab.name, upload=upload).status is RunStatus.FAILED
    assert lab.rows("SELECT to_regclass('fresh') IS NULL") == [(True,)]
    assert lab.rows(f"SELECT count(*) FROM {TABLE}") == [(len(ids),)]


def test_hole_23_views_are_stale_in_a_version_or_listed_without_being_there(lab: Lab) -> None:
    lab.post(ROWS)
    lab.run(RunKind.UPDATE_DATABASE, as_of=day(50))
    stack = lab.engine.services.datastacks.get(lab.name)
    with lab.engine.services.cluster.connect(lab.database) as connection:
        definition = f"SELECT id, pre_pt_root_id AS root FROM {TABLE}"
        views.create(connection, stack, views.View("shown", lab.name, definition, "d", materialized=True, live=True))
        connection.commit()
    added = lab.post(1)
    record = lab.run(RunKind.COMPLETE)
    database = frozen_database(lab.name, record.version or 0)
    rows = lab.rows(f"SELECT id, pre_pt_root_id FROM {TABLE} ORDER BY id", database=database)
    assert lab.rows("SELECT id, root FROM shown ORDER BY id", database=database) == rows
    assert rows[-1][0] == added[0] and lab.rows("SELECT max(id) FROM shown") != [(added[0],)]
    assert lab.rows("SELECT table_name FROM analysisviews", database=database) == [("shown",)]


@pytest.mark.parametrize("kind", ["derived_tag", "derived_numeric_value", "cell_similarity", "derived_spatial_point"])
def test_hole_24_four_schema_types_cannot_be_ingested(lab: Lab, kind: str) -> None:
    """`tests/steps/test_kinds_of_tables.py` holds all 57."""
    lab.make("special", kind)
    place = lab.places[5].tolist()
    values = {
        "derived_tag": {"pt_position": place, "pt_dependent_chunk": 7, "tag": "a"},
        "derived_numeric_value": {"pt_position": place, "pt_dependent_chunk": 7, "value": 0.5},
        "cell_similarity": {
            "pt_position": place,
            "match_pt_position": place,
            "query_root_id": 2**60,
            "match_root_id": 2**60 + 1,
            "score": 0.5,
        },
        "derived_spatial_point": {"position": place, "dependent_chunk": 7},
    }[kind]
    lab.post([values], "special")
    rows = lab.frozen(lab.run(RunKind.COMPLETE), "special")
    columns = [name for name in rows.column_names if name.endswith(("supervoxel_id", "root_id"))]
    assert rows.num_rows == 1 and columns and all(rows[name].null_count == 0 for name in columns)


def test_hole_24_a_reference_with_points_loses_its_root_index_when_merged(lab: Lab) -> None:
    lab.make("near", "reference_point", TABLE)
    (target,) = lab.post(1)
    lab.post([{"target_id": target, "pt_position": lab.places[5].tolist()}], "near")
    database = frozen_database(lab.name, lab.run(RunKind.COMPLETE).version or 0)
    found = lab.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'near'", database=database)
    assert any("(pt_root_id)" in text for (text,) in found) and any("(target_id)" in text for (text,) in found)


# The neighbors' traps.


def test_trap_a_batch_before_the_graphs_birth_comes_back_as_it_was_asked(lab: Lab) -> None:
    """Upstream stores those supervoxels as roots."""
    lab.post(ROWS)
    lab.run(RunKind.INGEST, as_of=BIRTH - timedelta(days=400))
    rows = lab.live()
    inside = rows["pre_pt_supervoxel_id"].to_numpy() != 0
    assert inside.any() and rows["pre_pt_root_id"].is_null().to_numpy()[inside].all()
    assert {reason for (reason,) in lab.rows("SELECT reason FROM matengine.unresolved")} == {"unknown_to_graph"}
    lab.run(RunKind.UPDATE_ROOTS, as_of=day(5))
    assert lab.true_at(lab.live(), day(5))


def test_trap_delta_roots_tells_of_roots_twice_and_of_those_in_between(lab: Lab) -> None:
    graph = lab.engine.services.graph(lab.engine.services.datastacks.get(lab.name))
    expired = graph.expired_roots(day(1), day(60))
    assert len(expired) > 10 and np.array_equal(expired, np.unique(expired))
    lab.post(2 * ROWS)
    lab.run(RunKind.UPDATE_DATABASE, as_of=day(1))
    lab.run(RunKind.UPDATE_ROOTS, as_of=day(60))
    assert lab.true_at(lab.live(), day(60))


def test_trap_is_latest_disagrees_with_roots_at_an_edits_own_millisecond(lab: Lab) -> None:
    """A version of just that moment is verified with the roots of that moment, and passes."""
    lab.post(2 * ROWS)
    lab.do(f"UPDATE {TABLE} SET created = '2026-01-01'")
    lab.do("UPDATE annotation_table_metadata SET created = '2026-01-01'")
    for moment in edit_times(lab.world)[3:6]:
        record = lab.run(RunKind.COMPLETE, as_of=moment)
        rows = lab.frozen(record)
        assert rows.num_rows == 2 * ROWS and lab.true_at(rows, moment)
