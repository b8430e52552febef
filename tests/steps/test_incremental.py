"""A version made from a base version equals, row for row and digest for digest, a full freeze at that moment."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from materializationengine.domain.errors import UserMistake
from materializationengine.domain.plan import RunKind, RunStatus
from materializationengine.domain.records import RunRecord
from materializationengine.kernel import moments
from materializationengine.storage.version_revisions import Revision, revisions
from materializationengine.storage.version_tables import version_rows
from materializationengine.workflows.requests import UploadRequest
from tests.harness import Engine, drop_databases

BIRTH = moments.parse("2026-01-01T00:00:00+00:00")


def day(number: float) -> datetime:
    return BIRTH + timedelta(days=number)


def facts(record: RunRecord, action: str) -> dict[str, Any]:
    """What the only unit of an action reported."""
    (unit,) = (unit for unit in record.units if unit.action == action)
    return {name: value for name, value in unit.facts.items() if name != "rows"}


def digests(engine: Engine, datastack: str, version: int | None) -> dict[str, tuple[int, str]]:
    """What the registry knows of a version's tables."""
    stack = engine.services.datastacks.get(datastack)
    (row,) = version_rows(engine.services.cluster, stack, version)
    return {table.name: (table.rows, table.digest) for table in row.tables}


def in_physical_order(engine: Engine, datastack: str, version: int | None, table: str = "synapses") -> list[int]:
    """Ids as they lie on disk."""
    with engine.services.cluster.connect(f"{datastack}__mat{version}") as connection:
        return [number for (number,) in connection.rows(f'SELECT id FROM "{table}" ORDER BY ctid')]


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("live_at", [40, 60])
def test_roots_changed_between(engine: Engine, small_world: Path, datastack: str, live_at: int, split: bool) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    base = engine.run(RunKind.COMPLETE, datastack, as_of=day(20), split=split)
    engine.run(RunKind.UPDATE_ROOTS, datastack, as_of=day(live_at))
    full = engine.run(RunKind.FREEZE, datastack, as_of=day(40), split=split)
    made = engine.run(RunKind.INCREMENTAL, datastack, as_of=day(40), base_version=base.version, split=split)
    copied = facts(made, "incremental.copy")
    assert copied["copied_in_full"] == [] and copied["patched"] > 0
    assert digests(engine, datastack, made.version) == digests(engine, datastack, full.version)
    assert in_physical_order(engine, datastack, made.version) == in_physical_order(engine, datastack, full.version)
    assert engine.frozen(datastack, made.version).equals(engine.frozen(datastack, full.version))
    assert cell_segments(engine, datastack, made.version) >= roots_in(engine, datastack, made.version, split)
    graph = engine.services.graph(engine.services.datastacks.get(datastack))
    expired = set(graph.expired_roots(day(0), day(40)).tolist())
    assert expired and not expired & cell_segments(engine, datastack, made.version)


@pytest.mark.parametrize("split", [False, pytest.param(True, marks=pytest.mark.faults)])
def test_a_version_made_anew_or_mended_has_its_cell_segments_again(
    engine: Engine, small_world: Path, datastack: str, split: bool
) -> None:
    """Nobody saw to it when its database was lost: a rebuild is a freeze, which makes no such table."""
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    base = engine.run(RunKind.COMPLETE, datastack, as_of=day(20), split=split).version
    made = engine.run(RunKind.INCREMENTAL, datastack, as_of=day(40), base_version=base, split=split).version
    assert base is not None and made is not None
    upload_cells(engine, small_world, datastack, day(5))
    engine.run(RunKind.INGEST, datastack, as_of=day(40))
    for number in (base, made):
        lose(engine, datastack, number)
        engine.run(RunKind.FREEZE, datastack, rebuilds=number)
    assert cell_segments(engine, datastack, made) == roots_in(engine, datastack, made, split) | {0}
    mended = engine.run(RunKind.INCREMENTAL, datastack, base_version=base, mends=made)
    assert facts(mended, "mend.swap_in")["mended"]
    centers = f'"cells__{datastack}_pcg"' if split else "cells"
    new = {root for (root,) in ids_of(engine, datastack, made, f"SELECT pt_root_id FROM {centers}") if root is not None}
    wanted = roots_in(engine, datastack, made, split) | new | {0}
    assert cell_segments(engine, datastack, made) == wanted
    lose(engine, datastack, made)
    engine.run(RunKind.FREEZE, datastack, rebuilds=made)
    assert cell_segments(engine, datastack, made) == wanted
    with engine.services.cluster.connect(f"{datastack}__mat{base}") as connection:
        assert connection.value("SELECT to_regclass('cellsegment') IS NULL")


def lose(engine: Engine, datastack: str, version: int) -> None:
    """Drop a version's database behind the registry's back."""
    with closing(engine.services.cluster.raw()) as home:
        home.autocommit = True
        with home.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{datastack}__mat{version}" WITH (FORCE)')


def cell_segments(engine: Engine, datastack: str, version: int | None) -> set[int]:
    return {root for (root,) in ids_of(engine, datastack, version, "SELECT id FROM cellsegment")}


def roots_in(engine: Engine, datastack: str, version: int | None, split: bool) -> set[int]:
    table = f'"synapses__{datastack}_pcg"' if split else "synapses"
    statement = f"SELECT pre_pt_root_id FROM {table} UNION SELECT post_pt_root_id FROM {table}"
    return {root for (root,) in ids_of(engine, datastack, version, statement) if root is not None}


def ids_of(engine: Engine, datastack: str, version: int | None, statement: str) -> list[tuple[int]]:
    with engine.services.cluster.connect(f"{datastack}__mat{version}") as connection:
        return connection.rows(statement)


def upload_cells(engine: Engine, world: Path, datastack: str, created: datetime) -> None:
    """A second table, of one bound point: the synapses' centers."""
    mapping = {"id": "id", "center_coords": "pt_position"}
    folder = str(world / "annotations/synapses")
    upload = UploadRequest("cells", "nucleus_detection", folder, mapping, created=created, force=True)
    engine.run(RunKind.BULK_UPLOAD, datastack, upload=upload)


def test_a_version_is_mended_where_it_lacks_a_table_and_where_its_rows_are_wrong(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    base, version = two_versions(engine, small_world, datastack)
    upload_cells(engine, small_world, datastack, day(5))
    engine.run(RunKind.INGEST, datastack, as_of=day(40))
    spoil(engine, datastack, version)
    full = engine.run(RunKind.FREEZE, datastack, as_of=day(40))
    before = digests(engine, datastack, version)
    mended = engine.run(RunKind.INCREMENTAL, datastack, base_version=base, mends=version)
    assert sorted(before) == ["synapses"]
    assert facts(mended, "mend.swap_in") == {"mended": ["cells", "synapses"], "revision": 1}
    assert digests(engine, datastack, version) == digests(engine, datastack, full.version)
    for table in ("cells", "synapses"):
        found, wanted = (engine.frozen(datastack, n, table) for n in (version, full.version))
        assert found.equals(wanted)
        assert in_physical_order(engine, datastack, version, table) == in_physical_order(
            engine, datastack, full.version, table
        )
        assert indexes(engine, datastack, version, table) == indexes(engine, datastack, full.version, table)
    again = engine.run(RunKind.INCREMENTAL, datastack, base_version=base, mends=version)
    assert facts(again, "mend.swap_in") == {"mended": []}
    stack = engine.services.datastacks.get(datastack)
    assert [row.revision for row in version_rows(engine.services.cluster, stack)] == [0, 1, 0]
    (revision,) = recorded(engine, datastack, version)
    assert (revision.revision, revision.run_id) == (1, mended.id)
    assert revision.mended == {"tables": {"cells": 2000, "synapses": 2000}, "swapped": ["cells", "synapses"]}


def two_versions(engine: Engine, world: Path, datastack: str) -> tuple[int, int]:
    engine.load(world, datastack)
    engine.upload_synapses(world, datastack, day(0))
    base = engine.run(RunKind.COMPLETE, datastack, as_of=day(20)).version
    version = engine.run(RunKind.COMPLETE, datastack, as_of=day(40)).version
    assert base is not None and version is not None
    return base, version


def spoil(engine: Engine, datastack: str, version: int) -> None:
    """Give a published version a wrong root, as a hole of an older system might have."""
    with closing(engine.services.cluster.raw(f"{datastack}__mat{version}")) as connection:
        connection.set_session(readonly=False)
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE synapses SET pre_pt_root_id = post_pt_root_id WHERE id % 100 = 1")
            assert cursor.rowcount
            # An update moves rows to the end; back in order, so that nothing but the roots gives it away.
            order = "ORDER BY pre_pt_supervoxel_id, id"
            cursor.execute(f"CREATE TEMPORARY TABLE rows ON COMMIT DROP AS SELECT * FROM synapses {order}")
            cursor.execute("TRUNCATE synapses")
            cursor.execute(f"INSERT INTO synapses SELECT * FROM rows {order}")


def indexes(engine: Engine, datastack: str, version: int | None, table: str) -> list[tuple[str, str]]:
    with engine.services.cluster.connect(f"{datastack}__mat{version}") as connection:
        statement = "SELECT indexname::text, indexdef FROM pg_indexes WHERE tablename = $1 AND schemaname = 'public'"
        return sorted(connection.rows(statement, table))


def recorded(engine: Engine, datastack: str, version: int) -> list[Revision]:
    with engine.services.cluster.connect(f"{datastack}_volume") as connection:
        return revisions(connection, engine.services.datastacks.get(datastack), version)


@pytest.mark.parametrize(("share", "chosen"), [(0.0, False), (0.01, True)])
def test_a_complete_workflow_starts_from_the_newest_version_where_little_changed(
    engine: Engine, small_world: Path, datastack: str, share: float, chosen: bool
) -> None:
    _, version = two_versions(engine, small_world, datastack)
    spoil(engine, datastack, version)
    engine.services.settings = replace(engine.services.settings, incremental_share=share)
    made = engine.run(RunKind.COMPLETE, datastack, as_of=day(50))
    full = engine.run(RunKind.FREEZE, datastack, as_of=day(50))
    actions = {unit.action for unit in made.units}
    assert ("incremental.copy" in actions, "freeze.copy" in actions) == (chosen, not chosen)
    assert digests(engine, datastack, made.version) == digests(engine, datastack, full.version)
    # Nobody watches such a run, so a base that is not true of its moment costs time, not the version.
    if chosen:
        assert facts(made, "incremental.copy")["copied_in_full"] == ["synapses"]


def test_a_base_that_is_not_true_of_its_moment_stops_the_run(engine: Engine, small_world: Path, datastack: str) -> None:
    _, version = two_versions(engine, small_world, datastack)
    spoil(engine, datastack, version)
    made = engine.attempt(RunKind.INCREMENTAL, datastack, as_of=day(40), base_version=version)
    assert made.status is RunStatus.FAILED and "mend it, or freeze in full" in (made.error or "")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "needs the number"),
    ({"base_version": 9}, "no version 9"),
    ({"base_version": 1, "as_of": day(19)}, "lies before"),
    ({"base_version": 1, "phases": (2, 3)}, "without 1 there is no base"),
    ({"base_version": 1, "mends": 1, "as_of": day(21)}, "leave the moment out"),
    ({"base_version": 1, "mends": 1, "phases": (1,)}, "only 3"),
    ({"base_version": 1, "threads": (1, 2)}, "four numbers"),
]


def test_what_cannot_be_done_is_refused(engine: Engine, small_world: Path, datastack: str) -> None:
    engine.load(small_world, datastack)
    engine.upload_synapses(small_world, datastack, day(0))
    engine.run(RunKind.COMPLETE, datastack, as_of=day(20))
    for fields, told in REFUSED:
        with pytest.raises(UserMistake, match=told):
            engine.attempt(RunKind.INCREMENTAL, datastack, **fields)


def test_readers_of_the_base_and_the_analysts_role_are_served(
    engine: Engine, small_world: Path, datastack: str
) -> None:
    base, _ = two_versions(engine, small_world, datastack)
    cluster = engine.services.cluster
    with closing(cluster.raw()) as home, home, home.cursor() as cursor:
        cursor.execute("CREATE ROLE analysis_user")
    try:
        with closing(cluster.raw(f"{datastack}__mat{base}")) as reader, reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM synapses")
            made = engine.run(RunKind.INCREMENTAL, datastack, as_of=day(45), base_version=base)
            cursor.execute("SELECT count(*) FROM synapses")
            assert cursor.fetchone() == (2000,)
        with cluster.connect(f"{datastack}__mat{made.version}") as connection:
            granted = connection.rows("SELECT has_table_privilege('analysis_user', 'synapses', 'SELECT')")
        assert granted == [(True,)]
    finally:
        drop_databases(cluster.url, datastack)
        with closing(cluster.raw()) as home, home, home.cursor() as cursor:
            cursor.execute("DROP ROLE analysis_user")
