"""Datastacks that share a volume, and names that begin alike: neither touches the other's versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from materializationengine.bootstrap import Services
from materializationengine.domain.errors import BadName, BadRequest, RunInProgress
from materializationengine.domain.plan import RunKind
from materializationengine.kernel import moments
from materializationengine.storage import frozen_build, janitor, live_database, run_control, version_care
from materializationengine.storage.version_tables import version_rows
from tests.harness import Engine, drop_databases, ends
from tests.oracle import Oracle, same_partition

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")
PAST = moments.naive(BIRTH)


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


def versions(engine: Engine, datastack: str) -> list[tuple[int, str]]:
    stack = engine.services.datastacks.get(datastack)
    return [(row.version, row.status) for row in version_rows(engine.services.cluster, stack)]


def frozen_databases(engine: Engine, names: tuple[str, ...]) -> set[str]:
    with engine.services.cluster.connect() as connection:
        found = {name for (name,) in connection.rows("SELECT datname FROM pg_database")}
    return {name for name in found if name.rpartition("__mat")[0] in names}


Sharing = Callable[[dict[str, str]], Engine]


@pytest.fixture
def sharing(engine: Engine, datastack: str, tmp_path: Path) -> Iterator[Sharing]:
    """`sharing({name: graph})`: an engine whose datastacks, each with its graph, all lie on the test's one volume."""
    made: list[Services] = []

    def make(stacks: dict[str, str]) -> Engine:
        file = tmp_path / "datastacks.json"
        file.write_text(json.dumps({name: record(engine, graph, datastack) for name, graph in stacks.items()}))
        settings = replace(engine.services.settings, datastacks_file=str(file))
        made.append(Services(settings, "tests"))
        return Engine(made[-1], engine.neighbors)

    yield make
    for services in made:
        services.close()


def record(engine: Engine, graph: str, volume: str) -> dict[str, Any]:
    """The record of a datastack of local CAVE, moved to another's volume."""
    url = f"{engine.neighbors.url}/info/api/v2/datastack/full/{graph}"
    found: dict[str, Any] = requests.get(url, timeout=10).json()
    return {**found, "aligned_volume": {"name": f"{volume}_volume"}}


def test_two_graphs_on_one_volume_keep_roots_and_versions_apart(
    engine: Engine, small_world: Path, datastack: str, sharing: Sharing
) -> None:
    """One table of annotations, two chunkedgraphs: one stands still at day 0, the other has all its edits.

    Versions are numbered over the volume, as CAVE does it.
    """
    still = f"{datastack}_still"
    engine.load(small_world, datastack)
    engine.load(small_world, still, until=day(0))
    both = sharing({datastack: datastack, still: still})
    both.upload_synapses(small_world, datastack, day(0))
    first = both.run(RunKind.COMPLETE, datastack, as_of=day(61))
    second = both.run(RunKind.COMPLETE, still, as_of=day(61))
    again = both.run(RunKind.COMPLETE, still, as_of=day(61))
    assert (first.version, second.version, again.version) == (1, 2, 3)
    assert versions(both, datastack) == [(1, "AVAILABLE")]
    assert versions(both, still) == [(3, "AVAILABLE"), (2, "AVAILABLE")]
    rows, other = both.frozen(datastack, 1), both.frozen(still, 2)
    oracle, supervoxels = Oracle(small_world), ends(rows, "supervoxel_id")
    assert np.array_equal(supervoxels, ends(other, "supervoxel_id"))
    assert same_partition(ends(rows, "root_id"), oracle.objects_of(supervoxels, day(61)))
    assert same_partition(ends(other, "root_id"), oracle.objects_of(supervoxels, day(0)))
    drop_databases(both.services.settings.database_url, still)


def test_removal_ends_only_what_it_was_asked_for(
    engine: Engine, small_world: Path, datastack: str, sharing: Sharing
) -> None:
    """Three names that begin alike, one of them as a frozen database is named; three expired versions of each."""
    names = (datastack, f"{datastack}65", f"{datastack}__mat1")
    engine.load(small_world, datastack)
    several = sharing(dict.fromkeys(names, datastack))
    for name in names:
        for _ in range(3):
            several.run(RunKind.FREEZE, name, as_of=day(1))
    with several.services.cluster.connect(f"{datastack}_volume") as connection:
        connection.execute("UPDATE analysisversion SET expires_on = $1::timestamp", PAST)
        connection.commit()
    numbers = {name: range(3 * place + 1, 3 * place + 4) for place, name in enumerate(names)}
    made = {f"{name}__mat{number}" for name in names for number in numbers[name]}
    assert frozen_databases(several, names) == made
    several.run(RunKind.RETIRE, datastack)
    left = made - {f"{datastack}__mat1", f"{datastack}__mat2"}
    assert frozen_databases(several, names) == left
    for name in names[1:]:
        assert versions(several, name) == [(number, "AVAILABLE") for number in reversed(numbers[name])]
    janitor.clean(several.services.cluster, f"{datastack}_volume")
    assert frozen_databases(several, names) == left
    several.run(RunKind.RETIRE, names[1])
    assert frozen_databases(several, names) == left - {f"{names[1]}__mat4", f"{names[1]}__mat5"}


def test_one_run_at_a_time_writes_roots_of_a_volume(
    engine: Engine, small_world: Path, datastack: str, sharing: Sharing
) -> None:
    other = f"{datastack}65"
    engine.load(small_world, datastack)
    both = sharing({datastack: datastack, other: datastack})
    active = both.start_only(RunKind.FREEZE, datastack, as_of=day(1))
    with pytest.raises(RunInProgress, match=active):
        both.start_only(RunKind.FREEZE, other, as_of=day(1))
    run_control.cancel(both.services.cluster, active, "test")
    both.run(RunKind.FREEZE, other, as_of=day(1))


def test_a_name_too_long_for_a_database_is_refused_and_leaves_nothing(
    engine: Engine, small_world: Path, datastack: str, sharing: Sharing
) -> None:
    """PostgreSQL would cut the name off, and two versions would be one database."""
    engine.load(small_world, datastack)
    longest, longer = (datastack + "x" * (length - len(datastack)) for length in (63 - len("__mat1"), 63))
    several = sharing({longest: datastack, longer: datastack})
    assert several.run(RunKind.FREEZE, longest, as_of=day(1)).version == 1
    with pytest.raises(BadName, match="at most 63 bytes"):
        several.start_only(RunKind.FREEZE, longer, as_of=day(1))
    assert versions(several, longer) == []


def test_the_base_of_an_active_run_is_neither_retired_nor_dropped(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    for number in (10, 20, 30):
        engine.run(RunKind.COMPLETE, datastack, as_of=day(number))
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        connection.execute("UPDATE analysisversion SET expires_on = $1::timestamp", PAST)
        connection.commit()
    active = engine.start_only(RunKind.INCREMENTAL, datastack, as_of=day(40), base_version=1)
    record = engine.run(RunKind.RETIRE, datastack)
    assert record.units[0].facts["kept"]["an active run reads or mends it"] == 1
    assert frozen_databases(engine, (datastack,)) == {f"{datastack}__mat1", f"{datastack}__mat3"}
    with (
        engine.services.cluster.connect(f"{datastack}_volume") as connection,
        pytest.raises(BadRequest, match=f"read or mended by run {active}"),
    ):
        version_care.end(connection, datastack, 1)
    run_control.cancel(engine.services.cluster, active, "test")
    engine.run(RunKind.RETIRE, datastack)
    assert frozen_databases(engine, (datastack,)) == {f"{datastack}__mat3"}


def test_a_build_whose_live_database_was_dropped_by_hand_is_dropped(engine: Engine, datastack: str) -> None:
    cluster = engine.services.cluster
    mine, lost = f"{datastack}_volume", f"{datastack}_lost"
    live_database.ensure(cluster, mine)
    builds = [f"matengine_build_{datastack:0>12}_{number}" for number in (1, 2)]
    frozen_build.create_build(cluster, builds[0], lost)
    frozen_build.create_build(cluster, builds[1], mine)
    try:
        assert builds[0] in janitor.clean(cluster, mine)
        assert not live_database.exists(cluster, builds[0])
        assert live_database.exists(cluster, builds[1])
    finally:
        for build in builds:
            frozen_build.drop_build(cluster, build)
