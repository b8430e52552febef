"""Root history against the oracle: what it answers is true, and what it does not know it says."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materializationengine.domain.plan import RunKind
from materializationengine.domain.ports import Ids
from materializationengine.kernel import moments
from materializationengine.storage.root_history import Present, roots_at
from tests.harness import Engine
from tests.oracle import Oracle, same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
UPDATES = (5, 12, 12.5, 31, 44)
"""Days after the graph's birth; the first is that of the ingest."""


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


@pytest.fixture
def updated(engine: Engine, small_world: Path, datastack: str) -> str:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    for number in UPDATES:
        engine.run(RunKind.UPDATE_DATABASE, datastack, as_of=day(number))
    return datastack


def live(engine: Engine, stack: str) -> tuple[Ids, Present]:
    """Supervoxels of the live table, and the roots beside them."""
    with engine.services.cluster.connect(f"{stack}_volume") as connection:
        rows = connection.table(f'SELECT pre_pt_supervoxel_id, pre_pt_root_id FROM "synapses__{stack}_pcg" ORDER BY id')
    return rows[0].to_numpy(), Present(rows[1].to_numpy(), day(UPDATES[-1]))


def test_what_history_answers_is_true_at_any_moment(engine: Engine, updated: str, small_world: Path) -> None:
    oracle, pcg = Oracle(small_world), f"{updated}_pcg"
    supervoxels, present = live(engine, updated)
    graph = engine.services.graph(engine.services.datastacks.get(updated))
    seen: list[float] = []

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(number=st.floats(0, 60), known=st.booleans())
    def answers(number: float, known: bool) -> None:
        at = day(number)
        with engine.services.cluster.connect(f"{updated}_volume") as connection:
            found = roots_at(connection, pcg, supervoxels, at, present if known else None)
        assert np.array_equal(found.roots[found.resolved], graph.roots(supervoxels, at).roots[found.resolved])
        objects = oracle.objects_of(supervoxels[found.resolved], at)
        assert same_partition(found.roots[found.resolved], objects)
        assert (found.roots[~found.resolved] == 0).all()
        seen.append(found.resolved.mean())

    answers()
    assert len(seen) > 10 and max(seen) > 0.3


def test_what_updates_touched_is_answered_at_every_earlier_mark(engine: Engine, updated: str) -> None:
    """So a version of such a moment stays answerable when its database is gone."""
    supervoxels, present = live(engine, updated)
    with engine.services.cluster.connect(f"{updated}_volume") as connection:
        touched = connection.table("SELECT DISTINCT supervoxel FROM matengine.root_history")[0].to_numpy()
        changed = np.isin(supervoxels, touched)
        assert changed.any()
        for number in UPDATES:
            found = roots_at(connection, f"{updated}_pcg", supervoxels, day(number), present)
            assert found.resolved[changed].all(), number


def test_an_update_goes_on_where_one_that_broke_off_remembered_roots(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    """A look-up commits what it remembers; the update that comes after asks the same supervoxels again."""
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, BIRTH)
    engine.run(RunKind.UPDATE_DATABASE, datastack, as_of=day(5))
    supervoxels, present = live(engine, datastack)
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        for point in ("pre_pt", "post_pt"):
            connection.execute(
                f"INSERT INTO matengine.root_held SELECT {point}_supervoxel_id, {point}_root_id, $1 "
                f'FROM "synapses__{datastack}_pcg" WHERE id % 3 = 0 ON CONFLICT DO NOTHING',
                f"{datastack}_pcg",
            )
        connection.commit()
    engine.run(RunKind.UPDATE_DATABASE, datastack, as_of=day(31))
    now, later = live(engine, datastack)
    replaced = later.roots != present.roots
    assert np.array_equal(now, supervoxels) and replaced.any()
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        found = roots_at(connection, f"{datastack}_pcg", supervoxels[replaced], day(5), None)
    assert found.resolved.all() and np.array_equal(found.roots, present.roots[replaced])


def test_the_beginning_of_a_root_is_exact(engine: Engine, updated: str) -> None:
    """A root that the update of day 31 wrote is older than that update: it is answered since its own edit."""
    graph = engine.services.graph(engine.services.datastacks.get(updated))
    with engine.services.cluster.connect(f"{updated}_volume") as connection:
        rows = connection.table("SELECT supervoxel, root, first_seen FROM matengine.root_history")
    times = graph.root_times(rows["root"].to_numpy())
    assert [moments.aware(moment) for moment in rows["first_seen"].to_pylist()] == list(times)
    assert not {day(number) for number in UPDATES} & set(times)


def test_what_nobody_saw_is_left_to_the_graph(engine: Engine, updated: str) -> None:
    supervoxels, _ = live(engine, updated)
    with engine.services.cluster.connect(f"{updated}_volume") as connection:
        found = roots_at(connection, f"{updated}_pcg", np.array([0, 1, 1], dtype=np.int64), day(7))
        other = roots_at(connection, "other_pcg", supervoxels, day(12))
    assert found.resolved.tolist() == [True, False, False] and found.roots.tolist() == [0, 0, 0]
    assert not other.resolved[supervoxels != 0].any()
