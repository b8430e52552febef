"""A new segmentation table is filled before it is indexed, and nobody can tell afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.kernel import moments
from materializationengine.storage.ledger import Message
from materializationengine.storage.run_records import find_run
from materializationengine.workflows.execute import run_unit
from materializationengine.workflows.requests import RunRequest
from tests.harness import Engine, ends
from tests.oracle import Oracle, same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
LATER = BIRTH + timedelta(days=30)


@pytest.fixture
def uploaded(engine: Engine, small_world: Path, datastack: str) -> Iterator[str]:
    """Synapses without ids, and an engine that takes 500 of them in a unit."""
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    settings = engine.services.settings
    engine.services.settings = replace(settings, ingest_batch=500)
    yield datastack
    engine.services.settings = settings


def layout(engine: Engine, stack: str) -> list[tuple[str, ...]]:
    """Indexes and constraints of the segmentation table; a foreign key that was not checked shows as NOT VALID."""
    table = f'public."synapses__{stack}_pcg"'
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        return sorted(
            connection.rows(
                f"SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
                f"WHERE indrelid = '{table}'::regclass UNION ALL "
                f"SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint "
                f"WHERE conrelid = '{table}'::regclass"
            )
        )


def one(engine: Engine, queue: list[Message]) -> None:
    """Do the first unit of a queue."""
    message = queue.pop(0)
    queue += run_unit(engine.services, message.database, message.unit, "tests")


def actions(engine: Engine, stack: str) -> list[str]:
    return [unit.action for unit in engine.run(RunKind.INGEST, stack, as_of=BIRTH).units]


def test_a_table_of_several_units_is_indexed_last_and_looks_like_any_other(
    engine: Engine, uploaded: str, small_world: Path
) -> None:
    done = actions(engine, uploaded)
    assert done.count("ingest.look_up") > 1 and done[-1] == "ingest.index"
    found = layout(engine, uploaded)
    assert [definition for name, definition in found if name.endswith("_fkey")] == [
        "FOREIGN KEY (id) REFERENCES synapses(id) ON DELETE CASCADE"
    ]
    assert sum("CREATE" in definition for _, definition in found) == 3
    assert actions(engine, uploaded) == ["ingest.scan"]
    rows = engine.frozen(uploaded, engine.run(RunKind.FREEZE, uploaded, as_of=BIRTH).version)
    assert rows.num_rows == 2_000
    assert same_partition(ends(rows, "root_id"), Oracle(small_world).objects_of(ends(rows, "supervoxel_id"), BIRTH))


def test_a_small_table_and_a_large_one_have_the_same_layout(engine: Engine, uploaded: str) -> None:
    actions(engine, uploaded)
    large = layout(engine, uploaded)
    with engine.services.cluster.connect(f"{uploaded}_volume") as connection:
        connection.execute(f'DROP TABLE "synapses__{uploaded}_pcg"')
        connection.execute("DELETE FROM segmentation_table_metadata")
        connection.commit()
    engine.services.settings = replace(engine.services.settings, ingest_batch=10_000)
    assert "ingest.index" not in actions(engine, uploaded)
    assert layout(engine, uploaded) == large


def test_what_an_interrupted_run_left_bare_the_next_one_indexes(engine: Engine, uploaded: str) -> None:
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.INGEST, uploaded, as_of=BIRTH), queue)
    with engine.services.cluster.connect(f"{uploaded}_volume") as connection:
        while queue and queue[0].action != "ingest.index":
            one(engine, queue)
        connection.execute("UPDATE matengine.run SET status = 'CANCELLED' WHERE id = $1", record.id)
        connection.commit()
    assert sum("CREATE" in definition for _, definition in layout(engine, uploaded)) == 1
    assert actions(engine, uploaded) == ["ingest.scan"]
    assert sum("CREATE" in definition for _, definition in layout(engine, uploaded)) == 3


def test_history_shows_nothing_before_the_update_is_done(engine: Engine, uploaded: str) -> None:
    """Pairs of supervoxel and root are written beside the look-ups; what makes them history comes with the rows."""
    engine.run(RunKind.INGEST, uploaded, as_of=BIRTH)
    queue: list[Message] = []
    record = engine.start(RunRequest(RunKind.UPDATE_ROOTS, uploaded, as_of=LATER), queue)
    while queue[0].action != "update_roots.apply":
        one(engine, queue)
    with engine.services.cluster.connect(f"{uploaded}_volume") as connection:
        assert connection.value("SELECT count(*) FROM matengine.root_held") > 0
        assert connection.value("SELECT count(*) FROM matengine.root_history") == 0
        connection.rollback()
        engine.drain(queue)
        assert find_run(engine.services.cluster, record.id).status is RunStatus.SUCCEEDED
        table = connection.table("SELECT supervoxel, root, first_seen, last_seen FROM matengine.root_history")
    graph = engine.services.graph(engine.services.datastacks.get(uploaded))
    assert table.num_rows > 0
    assert np.array_equal(graph.roots(table["supervoxel"].to_numpy(), BIRTH).roots, table["root"].to_numpy())
    assert {moments.aware(moment) for moment in table["last_seen"].to_pylist()} == {BIRTH}
