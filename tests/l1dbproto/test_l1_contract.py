"""One contract for every index option, backend and way of writing: random visits against the plain reference."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from l1_reference import BACKENDS, Reference, a_forced, a_source, an_object, circle, night, within

from l1dbproto.l1db import L1db
from l1dbproto.moments import mjd_tai

CENTER = (40.0, -20.0)
RADIUS = 0.3
VISITS = 5
MONTHS = 2
OPTIONS = [
    pytest.param({"dia_object_index": "baseline"}, id="baseline"),
    pytest.param(
        {"dia_object_index": "baseline", "read_full_objects": 1, "source_select": "by-oid"},
        id="baseline-full",
    ),
    pytest.param({"dia_object_index": "htm20_id_iov"}, id="htm20_id_iov"),
    pytest.param({"dia_object_index": "last_object_table", "source_select": "by-oid"}, id="last"),
    pytest.param({"dia_object_index": "last_object_table", "object_last_replace": 1}, id="last-upsert"),
    pytest.param({"dia_object_index": "last_object_table", "dia_object_nightly": 1}, id="last-nightly"),
    pytest.param(
        {
            "dia_object_index": "last_object_table",
            "object_last_replace": 1,
            "dia_object_nightly": 1,
            "read_full_objects": 1,
            "source_select": "by-oid",
            "sort_batches": 0,
        },
        id="last-upsert-nightly-full",
    ),
]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("options", OPTIONS)
class TestContract:
    """Every test starts with `VISITS` random visits, stored through the tuples and through batches in turn."""

    @pytest.fixture
    def config(self, backend: str, options: dict[str, Any], config_file: Callable[..., Path]) -> Path:
        return config_file(backend, read_sources_months=MONTHS, read_forced_sources_months=MONTHS, **options)

    @pytest.fixture
    def survey(self, config: Path) -> Iterator[tuple[L1db, Reference]]:
        db, reference = L1db(config), Reference()
        db.makeSchema()
        run(db, reference, random.Random(11), VISITS)
        yield db, reference
        db.close()

    def test_reads_equal_the_reference(self, survey: tuple[L1db, Reference], options: dict[str, Any]) -> None:
        db, reference = survey
        region = circle(*CENTER, RADIUS)
        found = {o.diaObjectId: o for o in db.getDiaObjects(region)}
        wanted = reference.inside(*CENTER, RADIUS)
        assert wanted and wanted <= set(found), "the cover of the region must hold all of it"
        latest = reference.latest()
        for object_id, record in found.items():
            assert record == type(record)(**{name: getattr(latest[object_id], name) for name in record._fields})
        since = mjd_tai(night(VISITS - 1, SPACING)) - 30 * MONTHS
        objects = [found[i] for i in wanted]
        sources = sorted(db.getDiaSources(region, objects), key=lambda s: s.diaSourceId)
        if options.get("source_select") == "by-oid":
            expected = reference.sources_of(wanted, since)
            older = reference.sources_of(wanted, 0.0)
        else:
            expected = reference.sources_in(*CENTER, RADIUS, since)
            older = reference.sources_in(*CENTER, RADIUS, 0.0)
            sources = [s for s in sources if within(s, *CENTER, RADIUS)]
        assert 0 < len(expected) < len(older), "the visits must outlast the months"
        assert [tuple(getattr(s, n) for n in expected[0]._fields) for s in sources] == [tuple(s) for s in expected]
        assert all(s.psFlux is None and s.ssObjectReassocTime is None for s in sources)
        assert sorted(db.getDiaFSources(objects), key=lambda f: f[:2]) == reference.forced_of(wanted, since)

    def test_one_open_interval_per_object(self, survey: tuple[L1db, Reference], config: Path) -> None:
        db, reference = survey
        db.dailyJob()
        stored = rows(config, 'SELECT "diaObjectId", "validityStart", "validityEnd", "ra" FROM "DiaObject"')
        assert stored == sorted((v.diaObjectId, v.validityStart, v.validityEnd, v.ra) for v in reference.versions)
        db.dailyJob()
        assert len(rows(config, 'SELECT "diaObjectId", "validityStart", "validityEnd", "ra" FROM "DiaObject"')) == len(
            stored
        )

    def test_last_table_holds_the_latest_versions(
        self, survey: tuple[L1db, Reference], config: Path, options: dict[str, Any]
    ) -> None:
        db, reference = survey
        if options["dia_object_index"] != "last_object_table":
            assert "DiaObjectLast" not in db.tableRowCount()
            return
        stored = rows(config, 'SELECT "diaObjectId", "validityStart", "ra", "htmId20" FROM "DiaObjectLast"')
        latest = reference.latest()
        assert stored == sorted((i, o.validityStart, o.ra, o.htmId20) for i, o in latest.items())

    def test_row_counts_and_resume(self, survey: tuple[L1db, Reference], config: Path) -> None:
        db, reference = survey
        counts = db.tableRowCount()
        assert counts["DiaObject"] + counts.get("DiaObjectNightly", 0) == len(reference.versions)
        assert (counts["DiaSource"], counts["DiaForcedSource"]) == (
            len(reference.sources),
            len(reference.forced),
        )
        visit = L1db(config).lastVisit()
        assert visit is not None
        assert visit[:2] == (VISITS - 1, night(VISITS - 1, SPACING))
        assert visit.lastObjectId == max(v.diaObjectId for v in reference.versions)
        assert visit.lastSourceId == max(s.diaSourceId for s in reference.sources)


SPACING = timedelta(days=25)


def run(db: L1db, reference: Reference, rng: random.Random, visits: int) -> None:
    """Random visits: objects come back, move to another trixel, or are new."""
    ids = [1 << 60 | i for i in range(30)]
    source_id = 0
    for visit in range(visits):
        time = night(visit, SPACING)
        mjd = mjd_tai(time)
        seen = [*rng.sample(ids, 18), *range(1000 * (visit + 1), 1000 * (visit + 1) + 4)]
        objects, sources = [], []
        for object_id in seen:
            ra, decl = CENTER[0] + rng.uniform(-0.4, 0.4), CENTER[1] + rng.uniform(-0.4, 0.4)
            objects.append(an_object(object_id, time, ra, decl))
            source_id += 1
            sources.append(a_source(source_id, object_id, visit, mjd, ra, decl))
        forced = [a_forced(o.diaObjectId, visit) for o in objects if rng.random() < 0.7]
        store(db, visit, time, objects, sources, forced, batch=visit % 2 == 1)
        reference.store(time, mjd, objects, sources, forced)


def store(db: L1db, visit: int, time: Any, objects: Any, sources: Any, forced: Any, *, batch: bool) -> None:
    from l1dbproto.l1db import DiaForcedSource, DiaObject, DiaSource, Visit
    from l1dbproto.records import to_columns
    from l1dbproto.tables import DIA_FORCED_SOURCE, DIA_OBJECT, DIA_SOURCE

    if batch:
        db.store_visit(
            Visit(visit, time),
            to_columns(objects, DiaObject, DIA_OBJECT),
            to_columns(sources, DiaSource, DIA_SOURCE),
            to_columns(forced, DiaForcedSource, DIA_FORCED_SOURCE),
        )
    else:
        db.storeDiaObjects(objects, time)
        db.storeDiaSources(sources)
        db.storeDiaForcedSources(forced)
        db.saveVisit(visit, time)


def rows(config: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows as another client sees them, sorted by their first two columns."""
    from l1dbproto.config import read_config

    url = read_config(config).url
    quote = "`" if url.get_backend_name() == "mysql" else '"'
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.exec_driver_sql(sql.replace('"', quote))]
    finally:
        engine.dispose()
    return sorted((_plain(row) for row in found), key=lambda row: row[:2])


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    from datetime import datetime

    return tuple(datetime.fromisoformat(v) if isinstance(v, str) else v for v in row)
