"""Every kind of table, from the post to the version: merged and split versions show the same rows, and true ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore

from materializationengine.bootstrap import Services
from materializationengine.config import Settings
from materializationengine.domain.names import frozen_database
from materializationengine.domain.plan import RunKind
from materializationengine.domain.schemas import Column, Role, Schema, SqlType, schema, schema_names
from materializationengine.domain.schemas.validation import dump_annotation, load_annotations
from materializationengine.kernel import moments
from materializationengine.storage import annotation_catalog, annotations
from materializationengine.storage.annotation_rows import read_rows
from materializationengine.storage.live_database import ensure
from materializationengine.storage.sql import quote
from materializationengine.storage.tables import position_expressions
from tests.harness import Engine, drop_databases
from tests.oracle import Oracle, same_partition

ROWS = 6
TARGETS = {"chain_point": "chain_nucleus", "chain_tag": "chain_point", "chain_of_chain": "chain_tag"}
CHAIN = {
    "chain_nucleus": "nucleus_detection",
    "chain_point": "reference_point",
    "chain_tag": "reference_tag",
    "chain_of_chain": "reference_tag",
}
"""A reference with points of its own, a reference to that, and one to the reference."""

Row = dict[str, Any]


@dataclass
class Versions:
    """A live database with a table of every schema type, and two versions of one moment."""

    engine: Engine
    name: str
    posted: dict[str, dict[int, Row]]
    merged: int
    split: int
    as_of: datetime
    oracle: Oracle
    volume: np.ndarray

    def rows(self, version: int, table: str, columns: tuple[Column, ...]) -> list[Row]:
        """The rows of a frozen table by id."""
        listed = ", ".join(
            position_expressions(c.name) if c.type is SqlType.POINTZ else f"a.{quote(c.name)}" for c in columns
        )
        with self.engine.services.cluster.connect(frozen_database(self.name, version)) as connection:
            found = connection.table(f"SELECT {listed} FROM {quote(table)} a ORDER BY a.id")
        return read_rows(columns, found)


def kinds() -> dict[str, str]:
    """Table name and schema type of every table made here."""
    return {f"t_{name}"[:40]: name for name in schema_names()} | CHAIN


def target_of(table: str, kind: Schema) -> str | None:
    return TARGETS.get(table, "t_nucleus_detection") if kind.is_reference else None


def value(column: Column, number: int, places: np.ndarray) -> Any:
    """A value that fits a column; the last row leaves out whatever may be left out."""
    if number == ROWS - 1 and not column.required:
        return None
    if column.role is Role.TARGET:
        return number + 1
    if column.choices:
        return column.choices[number % len(column.choices)]
    match column.type:
        case SqlType.POINTZ:
            return tuple(float(each) for each in places[(number * 31 + len(column.name)) % len(places)])
        case SqlType.BIGINT:
            return 2**62 + number
        case SqlType.INTEGER:
            return number
        case SqlType.DOUBLE:
            return number + 0.25
        case SqlType.BOOLEAN:
            return number % 2 == 0
    return f"word {number}"


def written(kind: Schema) -> tuple[Column, ...]:
    engine = (Role.ID, Role.CREATED, Role.DELETED, Role.SUPERSEDED, Role.VALID)
    return tuple(column for column in kind.annotation_columns() if column.role not in engine)


def make(kind: Schema, places: np.ndarray) -> list[Row]:
    """Rows as a client posts them, through the same check."""
    rows = [{c.name: value(c, number, places) for c in written(kind)} for number in range(ROWS)]
    return load_annotations(kind, [dump_annotation(kind, row) for row in rows], user_id=7)


@pytest.fixture(scope="module")
def versions(
    request: pytest.FixtureRequest, small_world: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Versions]:

    neighbors, postgres = request.getfixturevalue("neighbors"), request.getfixturevalue("postgres")
    environ = {
        "SQLALCHEMY_DATABASE_URI": postgres.url,
        "LOCAL_SERVER_URL": neighbors.url,
        "MATERIALIZATION_AS_OF_MARGIN": "0",
    }
    engine = Engine(Services(Settings.from_env(environ), "tests"), neighbors)
    name = "allkinds"
    engine.load(small_world, name)
    database = f"{name}_volume"
    ensure(engine.services.cluster, database)
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": str(small_world / "segmentation")},
    }
    volume = tensorstore.open(spec, open=True).result()[..., 0].read().result().astype(np.int64)
    places = np.load(small_world / "annotations/synapses/presyn_coords.npy")
    posted = post_all(engine, database, small_world, places)
    as_of = moments.now()
    merged = engine.run(RunKind.COMPLETE, name, as_of=as_of)
    split = engine.run(RunKind.FREEZE, name, as_of=as_of, split=True)
    assert merged.version is not None and split.version is not None
    yield Versions(engine, name, posted, merged.version, split.version, as_of, Oracle(small_world), volume)
    engine.services.close()
    drop_databases(postgres.url, name)


def post_all(engine: Engine, database: str, world: Path, places: np.ndarray) -> dict[str, dict[int, Row]]:
    x, y, z = json.loads((world / "about.json").read_text())["resolution_nm"]
    posted: dict[str, dict[int, Row]] = {}
    # What others refer to comes first.
    order = sorted(
        kinds(), key=lambda name: (name != "t_nucleus_detection", list(CHAIN).index(name) if name in CHAIN else 0)
    )
    with annotations.writing(engine.services.cluster, database) as connection:
        for table in order:
            kind = schema(kinds()[table])
            new = annotation_catalog.NewTable(table, kind, table, "7", (x, y, z), target_of(table, kind))
            annotation_catalog.create(connection, new)
            held = annotations.hold(connection, table)
            rows = make(kind, places)
            ids = annotations.post(connection, held, rows)
            posted[table] = dict(zip(ids, rows, strict=True))
            gone = ids[1] if kind.is_reference else ids[0]
            annotations.delete(connection, held, [gone])
            del posted[table][gone]
    return posted


@pytest.mark.parametrize("table", kinds())
def test_a_version_shows_what_was_posted_merged_and_split_alike(versions: Versions, table: str) -> None:
    kind = schema(kinds()[table])
    flat = versions.rows(versions.merged, table, kind.flat_columns())
    expected = versions.posted[table]
    assert [row["id"] for row in flat] == sorted(expected)
    for row in flat:
        wanted = expected[row["id"]]
        for column in written(kind):
            told = wanted.get(column.name)
            assert row[column.name] == (list(told) if isinstance(told, tuple) else told), column.name
        assert row.get("valid", True) is True
    assert joined(versions, table, kind) == flat


def joined(versions: Versions, table: str, kind: Schema) -> list[Row]:
    """The two tables of a split version put together as a merged one has them."""
    left = versions.rows(versions.split, table, kind.annotation_columns())
    ids: dict[int, Row] = {}
    if kind.has_segmentation:
        columns = kind.segmentation_columns()
        ids = {row["id"]: row for row in versions.rows(versions.split, f"{table}__{versions.name}_pcg", columns)}
        assert ids.keys() == {row["id"] for row in left}
    return [{c.name: (row | ids.get(row["id"], {}))[c.name] for c in kind.flat_columns()} for row in left]


@pytest.mark.parametrize("table", [name for name, kind in kinds().items() if schema(kind).points])
def test_every_bound_point_of_every_schema_is_bound(versions: Versions, table: str) -> None:
    kind = schema(kinds()[table])
    rows = versions.rows(versions.merged, table, kind.flat_columns())
    for point in kind.points:
        placed = [row for row in rows if row[point.position] is not None]
        assert len(placed) >= ROWS - 2
        truth = np.array([versions.volume[tuple(int(c) for c in row[point.position])] for row in placed])
        assert np.array([row[point.supervoxel] for row in placed]).tolist() == truth.tolist()
        roots = np.array([row[point.root] for row in placed])
        assert same_partition(roots, versions.oracle.objects_of(truth, versions.as_of))
        nowhere = [row for row in rows if row[point.position] is None]
        assert all(row[point.supervoxel] is None and row[point.root] is None for row in nowhere)


def test_all_57_types_are_here() -> None:
    assert len(set(kinds().values())) == len(schema_names()) == 57


def test_every_root_column_of_a_merged_table_is_indexed(versions: Versions) -> None:
    with versions.engine.services.cluster.connect(frozen_database(versions.name, versions.merged)) as connection:
        found = connection.rows("SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    for table, name in kinds().items():
        for point in schema(name).points:
            assert any(of == table and f"({point.root})" in text for of, text in found), (table, point.root)


def test_orphans_are_counted_and_kept(versions: Versions) -> None:
    """Row 1 of every target is gone, so that one reference row of each table points to nothing that is shown."""
    with versions.engine.services.cluster.connect(f"{versions.name}_volume") as connection:
        rows = connection.rows(
            "SELECT t.table_name, (t.facts ->> 'orphans')::bigint FROM matengine.frozen_table t "
            "JOIN analysisversion v ON v.id = t.analysisversion_id WHERE v.version = $1::int",
            versions.merged,
        )
    orphans = {table: count for table, count in rows if count is not None}
    assert set(orphans) == {table for table, name in kinds().items() if schema(name).is_reference}
    assert {table for table, count in orphans.items() if count != 1} == {"chain_tag", "chain_of_chain"}
    assert {orphans["chain_tag"], orphans["chain_of_chain"]} == {0}
