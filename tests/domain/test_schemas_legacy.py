"""Our columns, types, indexes and validation against those of emannotationschemas 5.26.3 itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from materializationengine.domain.schemas import (
    Column,
    Role,
    Schema,
    indexes,
    schema,
    schema_names,
)
from materializationengine.domain.schemas.fields import Field, Point, SqlType, Value
from materializationengine.domain.schemas.validation import load_annotation

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-legacy" / "bin" / "python"
DRIVER = ROOT / "tests" / "environments" / "legacy_schemas.py"

THEIR_TYPE = {
    SqlType.BIGINT: "BIGINT",
    SqlType.INTEGER: "INTEGER",
    SqlType.DOUBLE: "FLOAT",
    SqlType.TEXT: "VARCHAR",
    SqlType.BOOLEAN: "BOOLEAN",
    SqlType.POINTZ: "geometry(POINTZ,-1)",
    SqlType.TIMESTAMP: "TIMESTAMP WITHOUT TIME ZONE",
}
EXAMPLES: dict[SqlType, Any] = {
    SqlType.BIGINT: 864691135000000001,
    SqlType.INTEGER: 7,
    SqlType.DOUBLE: 2.5,
    SqlType.TEXT: "basket",
    SqlType.BOOLEAN: True,
    SqlType.POINTZ: [10, 20, 30],
}


def example(value: Value) -> Any:
    return value.choices[-1] if value.choices else EXAMPLES[value.type]


def posted(field: Field, *, full: bool) -> dict[str, Any]:
    if isinstance(field, Value):
        # Their schema requires a user id of the client; ours fills it in.
        return {field.name: example(field)} if field.required or full or field.role is Role.USER else {}
    if not (field.required or full):
        return {}
    parts = {p.name: example(p) for p in field.kind.parts if p.from_client and (p.required or full)}
    return {field.name: parts} if field.name else parts


def examples(of: Schema) -> list[dict[str, Any]]:
    """One with all that a client may give, one with what it must give."""
    return [
        {key: value for field in of.fields for key, value in posted(field, full=full).items()} for full in (True, False)
    ]


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    if not PYTHON.exists():
        missing = f"{PYTHON.relative_to(ROOT)} is not there; `make setup-clients` builds it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    given = json.dumps({name: examples(schema(name)) for name in schema_names()})
    command = [PYTHON, DRIVER]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_same_types(theirs: dict[str, Any]) -> None:
    assert set(schema_names()) == set(theirs)


def our_tables(of: Schema) -> dict[str, tuple[str, tuple[Column, ...]]]:
    tables = {
        "annotation": (f"t_{of.name}", of.annotation_columns()),
        "flat": (f"f_{of.name}", of.flat_columns()),
        "segmentation": (f"t_{of.name}__pcg", of.segmentation_columns()),
    }
    return {side: table for side, table in tables.items() if table[1]}


@pytest.mark.parametrize("name", schema_names())
def test_the_same_tables(name: str, theirs: dict[str, Any]) -> None:
    of, their = schema(name), theirs[name]
    assert (of.is_reference, of.has_segmentation) == (
        their["reference"],
        their["segmented"],
    )
    tables = our_tables(of)
    assert set(tables) == set(their["tables"])
    for side, (table, columns) in tables.items():
        found = [(c["name"], c["type"], c["nullable"]) for c in their["tables"][side]["columns"]]
        assert [(c.name, THEIR_TYPE[c.type], c.nullable) for c in columns] == found
        ours = sorted([i.name, i.column, i.kind.value] for i in indexes(columns, table))
        assert ours == their["tables"][side]["indexes"]


@pytest.mark.parametrize("name", schema_names())
def test_the_same_demands(name: str, theirs: dict[str, Any]) -> None:
    columns = schema(name).flat_columns()[1:]
    users = [column.name for column in columns if column.role is Role.USER]
    ours = {c.name: (c.required, list(c.choices)) for c in columns if c.role is not Role.USER}
    their = {key: (f["required"], f["choices"]) for key, f in theirs[name]["flat_fields"].items()}
    assert ours == {key: demand for key, demand in their.items() if key not in users}
    assert users == theirs[name]["user_fields"]


@pytest.mark.parametrize("name", schema_names())
def test_the_same_references(name: str, theirs: dict[str, Any]) -> None:
    targets = {c["name"]: c["references"] for c in theirs[name]["tables"]["annotation"]["columns"]}
    found = {key for key, references in targets.items() if references == ["target.id"]}
    assert found == {c.name for c in schema(name).annotation_columns() if c.role is Role.TARGET}


@pytest.mark.parametrize("name", schema_names())
def test_an_annotation_becomes_the_same_columns(name: str, theirs: dict[str, Any]) -> None:
    of = schema(name)
    for annotation, flat in zip(examples(of), theirs[name]["loaded"], strict=True):
        row = load_annotation(of, annotation, user_id=EXAMPLES[SqlType.BIGINT])
        points = {p.name for p in of.fields if isinstance(p, Point)}
        ours = {key: list(v) if isinstance(v, tuple) else v for key, v in row.items() if v is not None}
        assert ours == {key: v for key, v in flat.items() if key != "valid" and key not in points}
