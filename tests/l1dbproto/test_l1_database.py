"""What a database refuses, what it forgives, and what only one backend has."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa
from l1_reference import BACKENDS, START, a_forced, a_source, an_object, circle, night

from l1dbproto.config import read_config
from l1dbproto.errors import AlreadyStored, BadRecords, OutOfOrder, SchemaError, StoreUnavailable
from l1dbproto.l1db import DiaObject, L1db, Visit
from l1dbproto.moments import mjd_tai
from l1dbproto.records import to_columns
from l1dbproto.tables import DIA_OBJECT

REGION = circle(40.0, -20.0, 1.0)
LAST = {"dia_object_index": "last_object_table", "source_select": "by-oid"}
READING = {"read_sources_months": 12, "read_forced_sources_months": 12}
INDEXES = [{"dia_object_index": "baseline"}, {"dia_object_index": "htm20_id_iov"}, LAST]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(config: Path) -> L1db:
    db = L1db(config)
    db.makeSchema()
    return db


def test_empty_lists_do_nothing(config_file: Callable[..., Path], backend: str) -> None:
    db = opened(config_file(backend, **READING))
    db.storeDiaObjects([], START)
    db.storeDiaSources([])
    db.storeDiaForcedSources([])
    assert db.getDiaObjects(REGION) == []
    assert db.getDiaSources(REGION, []) == [] and db.getDiaFSources([]) == []
    assert db.lastVisit() is None
    assert set(db.tableRowCount().values()) == {0}
    db.dailyJob()


def test_zero_months_read_nothing(config_file: Callable[..., Path]) -> None:
    db = opened(config_file())
    one = an_object(1, START, 40.0, -20.0)
    db.storeDiaObjects([one], START)
    db.storeDiaSources([a_source(1, 1, 1, mjd_tai(START), 40.0, -20.0)])
    assert db.getDiaSources(REGION, [one]) == [] and db.getDiaFSources([one]) == []


@pytest.mark.parametrize("options", INDEXES)
def test_a_visit_out_of_order_stores_nothing(config_file: Callable[..., Path], backend: str, options: dict) -> None:
    db = opened(config_file(backend, **options))
    db.storeDiaObjects([an_object(1, night(5), 40.0, -20.0)], night(5))
    db.saveVisit(5, night(5))
    before = db.tableRowCount()
    with pytest.raises(OutOfOrder, match="lies before"):
        db.storeDiaObjects([an_object(2, night(4), 40.0, -20.0)], night(4))
    late = to_columns([an_object(2, night(6), 40.0, -20.0)], DiaObject, DIA_OBJECT)
    with pytest.raises(OutOfOrder, match="does not come after visit 5"):
        db.store_visit(Visit(5, night(6)), late, None, None)
    with pytest.raises(OutOfOrder):
        db.saveVisit(6, night(5))
    assert db.tableRowCount() == before


@pytest.mark.parametrize("options", INDEXES)
def test_storing_twice_keeps_the_first(config_file: Callable[..., Path], backend: str, options: dict) -> None:
    db = opened(config_file(backend, **options, **READING))
    one = an_object(1, START, 40.0, -20.0)
    source = a_source(1, 1, 1, mjd_tai(START), 40.0, -20.0)
    db.storeDiaObjects([one], START)
    db.storeDiaSources([source])
    before = db.tableRowCount()
    with pytest.raises(AlreadyStored):
        db.storeDiaObjects([one, an_object(2, START, 40.0, -20.0)], START)
    with pytest.raises(AlreadyStored):
        db.storeDiaSources([a_source(2, 1, 1, mjd_tai(START), 40.0, -20.0), source])
    assert db.tableRowCount() == before
    assert [o.diaObjectId for o in db.getDiaObjects(REGION)] == [1]


def test_half_a_visit_is_never_stored(config_file: Callable[..., Path], backend: str) -> None:
    db = opened(config_file(backend, **LAST))
    objects = to_columns([an_object(1, START, 40.0, -20.0)], DiaObject, DIA_OBJECT)
    from l1dbproto.l1db import DiaSource
    from l1dbproto.tables import DIA_SOURCE

    twice = [a_source(1, 1, 1, mjd_tai(START), 40.0, -20.0)] * 2
    with pytest.raises(AlreadyStored):
        db.store_visit(Visit(1, START), objects, to_columns(twice, DiaSource, DIA_SOURCE), None)
    assert set(db.tableRowCount().values()) == {0} and db.lastVisit() is None


def test_bad_records_reach_no_table(config_file: Callable[..., Path]) -> None:
    db = opened(config_file(**LAST))
    with pytest.raises(BadRecords, match="more than once"):
        db.storeDiaObjects([an_object(1, START, 40.0, -20.0)] * 2, START)
    with pytest.raises(BadRecords, match="validityStart"):
        db.storeDiaObjects([an_object(1, START, 40.0, -20.0)], START + timedelta(seconds=1))
    assert set(db.tableRowCount().values()) == {0}


def test_ids_are_never_rounded(config_file: Callable[..., Path], backend: str) -> None:
    db = opened(config_file(backend, **LAST, **READING))
    big = (1 << 63) - 1
    objects = [an_object(big - i, START, 40.0, -20.0, flags=-(1 << 63)) for i in range(3)]
    db.storeDiaObjects(objects, START)
    db.storeDiaSources([a_source(big - i, big - i, 1, mjd_tai(START), 40.0, -20.0) for i in range(3)])
    assert sorted(o.diaObjectId for o in db.getDiaObjects(REGION)) == [big - 2, big - 1, big]
    assert [s.diaSourceId for s in db.getDiaSources(REGION, [objects[1]])] == [big - 1]
    import numpy as np

    with pytest.raises(TypeError):
        db.getDiaSources_batch(REGION, np.array([1.0]))


def test_aware_times_are_converted(config_file: Callable[..., Path], backend: str) -> None:
    db = opened(config_file(backend, read_full_objects=1))
    aware = START.replace(tzinfo=UTC)
    db.storeDiaObjects([an_object(1, aware, 40.0, -20.0)], aware)
    db.saveVisit(1, aware)
    (found,) = db.getDiaObjects(REGION)
    assert (found.validityStart, found.lastNonForcedSource, found.validityEnd) == (START, START, None)
    visit = db.lastVisit()
    assert visit is not None and visit.visitTime == START


def test_history_is_cut_at_the_months_before_the_visit(config_file: Callable[..., Path], backend: str) -> None:
    db = opened(config_file(backend, **LAST, read_sources_months=2, read_forced_sources_months=1))
    for visit, age in enumerate((70, 59, 31, 29, 0)):
        moment = START - timedelta(days=age)
        db.storeDiaObjects([an_object(1, moment, 40.0, -20.0)], moment)
        db.storeDiaSources([a_source(visit, 1, visit, mjd_tai(moment), 40.0, -20.0)])
        db.storeDiaForcedSources([a_forced(1, visit)])
    objects = db.getDiaObjects(REGION)
    assert sorted(s.ccdVisitId for s in db.getDiaSources(REGION, objects)) == [1, 2, 3, 4]
    assert sorted(s.ccdVisitId for s in db.getDiaFSources(objects)) == [3, 4]
    earlier = START - timedelta(days=29)
    assert 0 in {s.ccdVisitId for s in db.getDiaSources(REGION, objects, visit_time=earlier)}
    assert 2 in {s.ccdVisitId for s in db.getDiaFSources(objects, visit_time=earlier)}


def test_sources_without_a_visit_are_read_back(config_file: Callable[..., Path], backend: str) -> None:
    db = opened(config_file(backend, **LAST, **READING))
    db.storeDiaSources([a_source(i, 1, i, 60000.0 + 200 * i, 40.0, -20.0) for i in range(4)])
    db.storeDiaForcedSources([a_forced(1, 1)])
    one = an_object(1, START, 40.0, -20.0)
    assert sorted(s.ccdVisitId for s in db.getDiaSources(REGION, [one])) == [2, 3]


def test_a_column_filled_later_is_read_by_everyone(config_file: Callable[..., Path], backend: str) -> None:
    import pyarrow as pa

    from l1dbproto.l1db import DiaSource
    from l1dbproto.tables import DIA_SOURCE

    config = config_file(backend, **LAST, **READING)
    writer, reader = opened(config), L1db(config)
    one = an_object(1, START, 40.0, -20.0)
    writer.storeDiaSources([a_source(1, 1, 1, 60000.0, 40.0, -20.0)])
    assert [s.psFlux for s in reader.getDiaSources(REGION, [one])] == [None]
    more = to_columns([a_source(2, 1, 2, 60001.0, 40.0, -20.0)], DiaSource, DIA_SOURCE)
    more = more.append_column("psFlux", pa.array([2.5])).append_column(
        "ssObjectReassocTime", pa.array([START], pa.timestamp("us"))
    )
    writer.storeDiaSources_batch(more)
    found = {s.diaSourceId: (s.psFlux, s.ssObjectReassocTime) for s in reader.getDiaSources(REGION, [one])}
    assert found == {1: (None, None), 2: (2.5, START)}


@pytest.mark.parametrize("upsert", [0, 1])
def test_an_object_that_moves_leaves_no_stale_row(config_file: Callable[..., Path], backend: str, upsert: int) -> None:
    db = opened(config_file(backend, **LAST, object_last_replace=upsert))
    for visit, ra in enumerate((40.0, 40.01, 40.5)):
        db.storeDiaObjects([an_object(1, night(visit), ra, -20.0)], night(visit))
    assert [o.ra for o in db.getDiaObjects(REGION)] == [40.5]
    assert db.getDiaObjects(circle(40.0, -20.0, 0.05)) == []
    assert db.tableRowCount()["DiaObjectLast"] == 1


def test_explain_tells_the_plan_of_every_statement(
    config_file: Callable[..., Path], backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    db = opened(config_file(backend, **LAST, **READING, object_last_replace=1))
    caplog.set_level(logging.INFO, "l1db")
    for visit in (1, 2):
        db.storeDiaObjects([an_object(1, night(visit), 40.0, -20.0)], night(visit), explain=True)
        db.storeDiaSources([a_source(visit, 1, visit, 61000.0, 40.0, -20.0)], explain=True)
        db.storeDiaForcedSources([a_forced(1, visit)], explain=True)
    objects = db.getDiaObjects(REGION, explain=True)
    db.getDiaSources(REGION, objects, explain=True)
    db.getDiaFSources(objects, explain=True)
    messages = [record.getMessage() for record in caplog.records if record.name == "l1db"]
    asked = [place for place, text in enumerate(messages) if text.startswith("explain for query: ")]
    assert [messages[place].split()[3] for place in asked] == ["UPDATE", "INSERT"] * 2 + ["SELECT"] * 3
    assert all(messages[place + 1].startswith("explain: ") for place in asked)
    assert sum(text.startswith("explain for DiaSource insert") for text in messages) == 2


# Schemas.


def test_make_schema_twice_keeps_the_rows_and_drop_removes_them(config_file: Callable[..., Path], backend: str) -> None:
    db = opened(config_file(backend, **LAST))
    db.storeDiaObjects([an_object(1, START, 40.0, -20.0)], START)
    db.makeSchema()
    assert db.tableRowCount()["DiaObject"] == 1
    db.makeSchema(drop=True)
    assert db.tableRowCount()["DiaObject"] == 0
    db.storeDiaObjects([an_object(1, START - timedelta(days=9), 40.0, -20.0)], START - timedelta(days=9))


def test_a_database_of_another_schema_is_refused(config_file: Callable[..., Path], backend: str) -> None:
    config = config_file(backend, **LAST)
    opened(config).close()
    url = read_config(config).url.render_as_string(hide_password=False)
    other = L1db(config_file(url=url, name="other.cfg", dia_object_index="baseline", source_select="by-oid"))
    for call in (
        lambda: other.getDiaObjects(REGION),
        lambda: other.storeDiaObjects([an_object(1, START, 40.0, -20.0)], START),
        other.makeSchema,
    ):
        with pytest.raises(SchemaError, match="dia_object_index is last_object_table there and baseline here"):
            call()
    other.makeSchema(drop=True)
    assert "DiaObjectLast" not in other.tableRowCount()


def test_a_database_without_tables_is_refused(config_file: Callable[..., Path], backend: str) -> None:
    db = L1db(config_file(backend))
    with pytest.raises(SchemaError, match="create_l1_schema"):
        db.getDiaObjects(REGION)
    db.makeSchema()
    assert db.getDiaObjects(REGION) == []


def test_somebody_elses_tables_are_refused(config_file: Callable[..., Path], backend: str) -> None:
    config = config_file(backend)
    engine = sa.create_engine(read_config(config).url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE " + ("`DiaObject`" if backend == "mysql" else '"DiaObject"') + " (x int)"
        )
        connection.exec_driver_sql("CREATE TABLE unrelated (x int)")
    with pytest.raises(SchemaError, match="has DiaObject, but no L1DbProtoMetadata"):
        L1db(config).makeSchema()
    L1db(config).makeSchema(drop=True)
    assert "unrelated" in sa.inspect(engine).get_table_names()
    engine.dispose()


def test_a_server_that_is_away_is_one_line_without_the_password(config_file: Callable[..., Path]) -> None:
    for url in ("postgresql://u:secret@127.0.0.1:1/x", "sqlite:////nowhere/at/all.sqlite"):
        db = L1db(config_file(url=url))
        for call in (db.makeSchema, db.lastVisit):
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_connection_is_not_carried_through_a_fork(config_file: Callable[..., Path], backend: str) -> None:
    db = opened(config_file(backend))
    db.storeDiaObjects([an_object(1, START, 40.0, -20.0)], START)
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            db.storeDiaObjects([an_object(2, night(1), 40.0, -20.0)], night(1))
            status = 0
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(o.diaObjectId for o in db.getDiaObjects(REGION)) == [1, 2]


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
def test_a_broken_connection_is_told_once_and_made_anew(config_file: Callable[..., Path], backend: str) -> None:
    config = config_file(backend)
    db = opened(config)
    db.storeDiaObjects([an_object(1, START, 40.0, -20.0)], START)
    engine = sa.create_engine(read_config(config).url)
    with engine.connect() as connection:
        if backend == "postgresql":
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'l1dbproto'"
            connection.exec_driver_sql(end + " AND datname = current_database()")
        else:
            here = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            for (number,) in connection.exec_driver_sql(here).all():
                connection.exec_driver_sql(f"KILL {number}")
    engine.dispose()
    with pytest.raises(StoreUnavailable):
        db.getDiaObjects(REGION)
    assert [o.diaObjectId for o in db.getDiaObjects(REGION)] == [1]
    db.close()


def test_writers_side_by_side_all_succeed(config_file: Callable[..., Path], backend: str) -> None:

    config = config_file(backend, **LAST, object_last_replace=1)
    opened(config).close()

    def store(part: int) -> None:
        db = L1db(config)
        for visit in range(1, 4):
            ids = range(100 * part, 100 * part + 20)
            objects = [an_object(i, night(visit), 40.0 + i / 1000, -20.0) for i in ids]
            db.store_visit(
                Visit(visit, night(visit)), to_columns(objects, DiaObject, DIA_OBJECT), None, None, tile=part
            )
            barrier.wait()
        db.close()

    # Tiles of one visit run side by side, visits one after the other.
    barrier = Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(store, range(3)))
    db = L1db(config)
    assert db.tableRowCount()["DiaObject"] == 180 and db.tableRowCount()["DiaObjectLast"] == 60
    assert db.tilesStored(3) == {0, 1, 2}
    db.saveVisit(3, night(3))
    assert db.tilesStored(3) == frozenset()
    db.close()


# PostgreSQL alone.


def test_months_are_partitions(config_file: Callable[..., Path]) -> None:
    config = config_file("postgresql", **LAST, **READING, partition="month")
    db = opened(config)
    moments = [datetime(2026, 1, 31, 23, 59), datetime(2026, 2, 1, 0, 1), datetime(2027, 3, 4)]
    for visit, moment in enumerate(moments):
        db.storeDiaObjects([an_object(1, moment, 40.0, -20.0)], moment)
        db.storeDiaSources([a_source(visit, 1, visit, mjd_tai(moment), 40.0, -20.0)])
        db.storeDiaForcedSources([a_forced(1, visit)])
    names = set(sa.inspect(sa.create_engine(read_config(config).url)).get_table_names())
    for month in ("2026_01", "2026_02", "2027_03", "2027_04"):
        assert {f"DiaSource_{month}", f"DiaForcedSource_{month}"} <= names
    objects = db.getDiaObjects(REGION)
    assert [s.ccdVisitId for s in db.getDiaSources(REGION, objects)] == [2]
    assert sorted(s.ccdVisitId for s in db.getDiaFSources(objects, visit_time=moments[1])) == [0, 1, 2]
    with pytest.raises(BadRecords, match="finite"):
        db.storeDiaSources([a_source(9, 1, 9, float("nan"), 40.0, -20.0)])
    assert db.tableRowCount()["DiaSource"] == 3
    db.dailyJob()
