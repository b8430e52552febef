"""A live database with versions in it, written by plain SQL from the schemas' columns, and the same rows in Python."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from materializationengine.domain.schemas import Column, Role, Schema, SqlType, schema
from materializationengine.storage.engines import Cluster
from materializationengine.storage.live_database import create, ensure
from materializationengine.storage.tables import create_table

Row = dict[str, Any]
VOLUME, DATASTACK, PUBLIC, PCG = "test_volume", "test_stack", "public_stack", "test_pcg"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6)
BIG = 864691135000000000
SCHEMAS = {
    "synapses": "synapse",
    "nuclei": "nucleus_detection",
    "cell_types": "cell_type_reference",
    "marks": "pt_bool_valid",
}
RESOLUTION = {
    "synapses": (4.0, 4.0, 40.0),
    "nuclei": (64.0, 64.0, 40.0),
    "cell_types": (1.0, 1.0, 1.0),
    "marks": (4.0, 4.0, 40.0),
}
TYPES = ["a", "b", "it's", "c\\d", None]


class Rows(dict[str, list[Row]]):
    """Rows of each table. Whoever reports a failing example does not want to see them all."""

    def __repr__(self) -> str:
        return f"Rows of {', '.join(self)}"


def make_rows(seed: int = 7, synapses: int = 2000) -> Rows:
    """Rows of every table, in the order in which they lie."""
    rng = random.Random(seed)

    def root() -> int | None:
        return rng.choice([None, 0, *(BIG + n for n in range(20))])

    def place(size: int) -> tuple[float, float, float]:
        return (float(rng.randrange(size)), float(rng.randrange(size)), float(rng.randrange(size)))

    nuclei: list[Row] = [
        {
            "id": n,
            "valid": True,
            "volume": rng.choice([None, rng.random() * 100]),
            "pt_position": place(500),
            "pt_supervoxel_id": BIG // 2 + n,
            "pt_root_id": root(),
            "bb_start_position": rng.choice([None, place(500)]),
            "bb_end_position": None,
        }
        for n in rng.sample(range(1, 401), 200)
    ]
    synapse_rows: list[Row] = [
        {
            "id": n,
            "valid": True,
            "pre_pt_position": place(1000),
            "pre_pt_supervoxel_id": BIG // 3 + n,
            "pre_pt_root_id": root(),
            "post_pt_position": place(1000),
            "post_pt_supervoxel_id": BIG // 3 + n + 1,
            "post_pt_root_id": root(),
            "ctr_pt_position": place(1000),
            "size": rng.choice([None, float(rng.randrange(100)), rng.random()]),
        }
        for n in rng.sample(range(1, 3 * synapses), synapses)
    ]
    targets = [row["id"] for row in nuclei]
    cells: list[Row] = [
        {
            "id": n,
            "valid": True,
            "target_id": rng.choice(targets),
            "classification_system": rng.choice(["x", "y"]),
            "cell_type": rng.choice(TYPES),
        }
        for n in range(1, 151)
    ]
    marks: list[Row] = [
        {"id": n, "valid": True, "pt_position": place(50), "tag": rng.choice([True, False, None]), "valid_id": n * 2}
        for n in range(1, 31)
    ]
    return Rows(synapses=synapse_rows, nuclei=nuclei, cell_types=cells, marks=marks)


def build(cluster: Cluster, rows: Mapping[str, list[Row]]) -> None:
    """Version 1 merged, 2 split with rows not of it, 3 being made, 4 expired; a public stack shows two tables."""
    ensure(cluster, VOLUME)
    _frozen(cluster, f"{DATASTACK}__mat1", rows, split=False)
    _frozen(cluster, f"{DATASTACK}__mat2", rows, split=True)
    with closing(cluster.raw(VOLUME)) as connection, connection, connection.cursor() as cursor:
        for name, kind in SCHEMAS.items():
            cursor.execute(_METADATA, (kind, name, _target(name), *RESOLUTION[name], _notice(name)))
            if schema(kind).has_segmentation:
                cursor.execute(_SEGMENTATION, (kind, f"{name}__{PCG}", PCG, MOMENT, name))
        for number, status, merged in (
            (1, "AVAILABLE", True),
            (2, "AVAILABLE", False),
            (3, "RUNNING", True),
            (4, "EXPIRED", True),
        ):
            _version(cursor, DATASTACK, number, status, merged, None, SCHEMAS, rows)
        _version(cursor, PUBLIC, 5, "AVAILABLE", True, 1, ["nuclei", "cell_types"], rows)


_METADATA = """
INSERT INTO annotation_table_metadata (schema_type, table_name, valid, created, user_id, description, reference_table,
  voxel_resolution_x, voxel_resolution_y, voxel_resolution_z, write_permission, read_permission, last_modified,
  notice_text)
VALUES (%s, %s, true, '2025-01-01', '3', 'what it is', %s, %s, %s, %s, 'PRIVATE', 'PUBLIC', '2025-01-02', %s)
"""
_SEGMENTATION = """
INSERT INTO segmentation_table_metadata
  (schema_type, table_name, valid, created, pcg_table_name, last_updated, annotation_table)
VALUES (%s, %s, true, '2025-01-01', %s, %s, %s)
"""


def _target(name: str) -> str | None:
    return "nuclei" if name == "cell_types" else None


def _notice(name: str) -> str | None:
    return "read\nthe paper" if name == "nuclei" else None


def _version(
    cursor: Any,
    stack: str,
    number: int,
    status: str,
    merged: bool,
    parent: int | None,
    tables: Iterable[str],
    rows: Mapping[str, list[Row]],
) -> None:
    cursor.execute(
        "INSERT INTO analysisversion"
        " (datastack, version, time_stamp, valid, expires_on, parent_version, status, is_merged)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
        (stack, number, MOMENT, status == "AVAILABLE", "2036-01-01" if number == 1 else None, parent, status, merged),
    )
    (version_id,) = cursor.fetchone()
    for name in tables:
        cursor.execute(
            "INSERT INTO analysistables (aligned_volume, schema, table_name, valid, created, analysisversion_id)"
            " VALUES (%s, %s, %s, true, %s, %s)",
            (VOLUME, SCHEMAS[name], name, MOMENT, version_id),
        )
        # `marks` is left uncounted, as in a version that CAVE made.
        if name != "marks" and parent is None:
            cursor.execute(
                "INSERT INTO matengine.frozen_table VALUES (%s, %s, %s, 'digest', '{}')",
                (version_id, name, len(rows[name])),
            )


def _frozen(cluster: Cluster, database: str, rows: Mapping[str, list[Row]], *, split: bool) -> None:
    create(cluster, database)
    with closing(cluster.raw(database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE materializedmetadata (id serial, schema text, table_name text, row_count integer,"
            " materialized_timestamp timestamp, segmentation_source text, is_merged boolean)"
        )
        for name, kind_name in SCHEMAS.items():
            kind = schema(kind_name)
            if split:
                _fill(cursor, name, kind.annotation_columns(), _with_history(kind, rows[name]))
                if kind.has_segmentation:
                    _fill(cursor, f"{name}__{PCG}", kind.segmentation_columns(), rows[name])
            else:
                _fill(cursor, name, kind.flat_columns(), rows[name])
            cursor.execute(f'ALTER TABLE "{name}" ADD PRIMARY KEY (id)')
            cursor.execute(
                "INSERT INTO materializedmetadata (schema, table_name, row_count) VALUES (%s, %s, %s)",
                (kind_name, name, len(rows[name])),
            )
        if not split:
            cursor.execute("CREATE INDEX ON synapses (pre_pt_root_id)")
            cursor.execute("CREATE INDEX ON synapses USING gist (ctr_pt_position gist_geometry_ops_nd)")
            cursor.execute("CREATE INDEX ON synapses USING brin (pre_pt_position brin_geometry_inclusion_ops_3d)")


def _with_history(kind: Schema, rows: list[Row]) -> list[Row]:
    """The rows with a history, and two that are not of the version: one came later, one had gone."""
    known = [{**row, "created": "2025-06-01", "deleted": None, "superceded_id": None} for row in rows]
    later = {**known[0], "id": 10_000_001, "created": "2026-06-01"}
    gone = {**known[0], "id": 10_000_002, "deleted": "2025-07-01", "valid": False}
    return [later, *known, gone]


def _fill(cursor: Any, table: str, columns: tuple[Column, ...], rows: list[Row]) -> None:
    """COPY into a table of the same transaction lays the rows down one after another, as a freeze does."""
    cursor.execute(create_table(table, columns))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([_value(column, row) for column in columns] for row in rows)
    text.seek(0)
    names = ", ".join(f'"{column.name}"' for column in columns)
    cursor.copy_expert(f'COPY "{table}" ({names}) FROM STDIN (FORMAT csv)', text)


def _value(column: Column, row: Row) -> Any:
    value = row.get(column.name)
    if column.type is SqlType.POINTZ and value is not None:
        return "POINT Z ({} {} {})".format(*value)
    return row["id"] if column.role is Role.ID else value
