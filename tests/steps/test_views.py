"""Views: one definition, and the same rows in the live database, in a merged version and in a split one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from materializationengine.domain import errors
from materializationengine.domain.plan import RunKind
from materializationengine.kernel import moments
from materializationengine.storage import views
from materializationengine.storage.views import View
from tests.harness import Engine

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
OUTGOING = """
WITH counted AS (SELECT pre_pt_root_id AS root, count(*) AS n FROM synapses WHERE pre_pt_root_id <> 0 GROUP BY 1)
SELECT root, n FROM counted WHERE n > 1;
"""


@pytest.fixture
def stack(engine: Engine, small_world: Path, datastack: str) -> str:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    engine.run(RunKind.UPDATE_DATABASE, datastack, as_of=BIRTH + timedelta(days=20))
    return datastack


def define(engine: Engine, stack: str, name: str, definition: str = OUTGOING, **fields: Any) -> None:
    datastack = engine.services.datastacks.get(stack)
    with engine.services.cluster.connect(datastack.aligned_volume) as connection:
        views.create(connection, datastack, View(name, stack, definition, "cells and their outputs", **fields))
        connection.commit()


def rows(engine: Engine, database: str, sql: str) -> list[tuple[Any, ...]]:
    with engine.services.cluster.connect(database) as connection:
        return connection.rows(sql)


def test_one_definition_shows_the_same_everywhere(engine: Engine, stack: str) -> None:
    define(engine, stack, "outgoing", live=True)
    define(engine, stack, "outgoing_kept", materialized=True)
    moment = BIRTH + timedelta(days=20)
    merged = engine.run(RunKind.FREEZE, stack, as_of=moment)
    split = engine.run(RunKind.FREEZE, stack, as_of=moment, split=True)
    live = rows(engine, f"{stack}_volume", "SELECT root, n FROM outgoing ORDER BY 1")
    assert len(live) > 10
    for record in (merged, split):
        database = f"{stack}__mat{record.version}"
        assert rows(engine, database, "SELECT root, n FROM outgoing ORDER BY 1") == live
        assert rows(engine, database, "SELECT root, n FROM outgoing_kept ORDER BY 1") == live
        listed = rows(engine, database, "SELECT table_name, live_compatible FROM analysisviews ORDER BY 1")
        assert listed == [("outgoing", True), ("outgoing_kept", False)]


def test_a_version_builds_its_views_from_its_own_tables(engine: Engine, stack: str) -> None:
    """Hole 23: a view copied from the live database shows the roots of another moment."""
    define(engine, stack, "outgoing", live=True)
    early = engine.run(RunKind.FREEZE, stack, as_of=BIRTH + timedelta(days=2))
    expected = "SELECT pre_pt_root_id, count(*) FROM synapses WHERE pre_pt_root_id <> 0 GROUP BY 1 HAVING count(*) > 1"
    found = rows(engine, f"{stack}__mat{early.version}", "SELECT root, n FROM outgoing ORDER BY 1")
    assert found == rows(engine, f"{stack}__mat{early.version}", f"{expected} ORDER BY 1")
    assert found != rows(engine, f"{stack}_volume", "SELECT root, n FROM outgoing ORDER BY 1")


def test_a_view_whose_table_is_not_in_the_version_is_left_out_with_a_reason(engine: Engine, stack: str) -> None:
    define(engine, stack, "lookup", "SELECT f_table_name FROM geometry_columns")
    before = BIRTH - timedelta(days=1)
    define(engine, stack, "outgoing")
    record = engine.run(RunKind.FREEZE, stack, as_of=before)
    (unit,) = (unit for unit in record.units if unit.action == "views.build")
    told = unit.facts["views"]
    assert told == {"lookup": "built", "outgoing": 'relation "synapses" does not exist'}
    listed = rows(engine, f"{stack}__mat{record.version}", "SELECT table_name FROM analysisviews")
    assert listed == [("lookup",)]


def test_refresh_takes_up_what_is_new_and_drop_leaves_versions_alone(engine: Engine, stack: str) -> None:
    define(engine, stack, "kept", "SELECT count(*) AS n FROM synapses", materialized=True, live=True)
    record = engine.run(RunKind.FREEZE, stack, as_of=BIRTH + timedelta(days=20))
    datastack = engine.services.datastacks.get(stack)
    with engine.services.cluster.connect(datastack.aligned_volume) as connection:
        connection.execute("UPDATE synapses SET deleted = now() AT TIME ZONE 'utc', valid = false WHERE id <= 5")
        assert connection.value("SELECT n FROM kept") == 2_000
        views.refresh(connection, datastack, "kept")
        gone = connection.value("SELECT count(*) FROM synapses WHERE deleted IS NOT NULL")
        assert connection.value("SELECT n FROM kept") == 2_000 - gone
        views.drop(connection, datastack, "kept")
        assert connection.value("SELECT to_regclass('kept') IS NULL")
        with pytest.raises(errors.UnknownTable, match="there are none"):
            views.find(connection, datastack, "kept")
        connection.commit()
    assert rows(engine, f"{stack}__mat{record.version}", "SELECT n FROM kept") == [(2_000,)]


@pytest.mark.parametrize(
    ("name", "definition", "error", "message"),
    [
        ("wrong", "SELECT nothing FROM synapses", errors.BadRequest, 'column "nothing" does not exist'),
        ("wrong", "DROP TABLE synapses", errors.BadRequest, "syntax error"),
        ("wrong", "SELECT 1) AS t; DROP TABLE synapses; --", errors.BadRequest, "syntax error|multiple commands"),
        ("synapses", "SELECT 1 AS one", errors.TableExists, "exists already"),
        ("Wrong", "SELECT 1 AS one", errors.BadName, "lower-case"),
    ],
)
def test_a_definition_that_cannot_be_is_refused(
    engine: Engine, stack: str, name: str, definition: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        define(engine, stack, name, definition)
