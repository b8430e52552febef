"""The JSON schemas: the file that local CAVE serves, and what the real caveclient makes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from materializationengine.domain.schemas import Role, SqlType, schema, schema_names
from materializationengine.domain.schemas.fields import SEGMENTATION_ROLES, Field, Point, Value
from materializationengine.domain.schemas.jsonschema import as_text, document, documents
from materializationengine.domain.schemas.validation import load_annotation

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-caveclient" / "bin" / "python"
DRIVER = ROOT / "tests" / "environments" / "client_schemas.py"
SERVED = ROOT / "localcave" / "schemas.json"

EXAMPLES: dict[SqlType, Any] = {
    SqlType.BIGINT: 864691135000000001,
    SqlType.INTEGER: 7,
    SqlType.DOUBLE: 2.5,
    SqlType.TEXT: "basket",
    SqlType.BOOLEAN: True,
    SqlType.POINTZ: [10, 20, 30],
}
NUMERIC = {SqlType.BIGINT, SqlType.INTEGER, SqlType.DOUBLE}
# The client knows bound and free points only, and stages nothing but the position of a point.
DERIVED = {"derived_spatial_point", "derived_tag", "derived_numeric_value"}


def test_the_served_file_is_up_to_date() -> None:
    assert SERVED.read_text() == as_text(), "write it anew: python -m materializationengine.domain.schemas"


def test_the_command_writes_the_file() -> None:
    command = [sys.executable, "-m", "materializationengine.domain.schemas"]
    assert json.loads(subprocess.run(command, capture_output=True, check=True).stdout) == documents()


@pytest.mark.parametrize("name", schema_names())
def test_every_document_is_a_json_schema(name: str) -> None:
    found = document(schema(name))
    Draft7Validator.check_schema(found)
    own = found["definitions"][found["$ref"].rsplit("/", 1)[1]]
    assert isinstance(own["required"], list)
    assert all(isinstance(kind["type"], str) for kind in own["properties"].values())


def test_the_shape_of_a_document() -> None:
    found = document(schema("nucleus_detection"))
    assert found["$ref"] == "#/definitions/NucleusDetection"
    assert set(found["definitions"]) == {"BoundSpatialPoint", "SpatialPoint", "NucleusDetection"}
    own = found["definitions"]["NucleusDetection"]
    assert own["required"] == ["pt"]
    assert own["properties"]["volume"] == {"type": "number", "format": "float"}
    assert own["properties"]["pt"] == {"type": "object", "$ref": "#/definitions/BoundSpatialPoint"}
    assert own["properties"]["bb_end"] == {"type": "object", "$ref": "#/definitions/SpatialPoint"}


def test_choices_and_users() -> None:
    shape = document(schema("bouton_shape"))["definitions"]["BoutonShape"]["properties"]["shape"]
    assert shape == {"type": "string", "enum": ["pancake", "basmati", "potato"]}
    tag = document(schema("bound_tag_user"))["definitions"]["BoundTagUser"]
    assert "user_id" in tag["properties"]
    assert "user_id" not in tag["required"]


def test_a_client_cannot_give_segmentation_ids() -> None:
    bound = document(schema("synapse"))["definitions"]["BoundSpatialPoint"]
    assert bound["required"] == ["position"]
    read_only = {name for name, kind in bound["properties"].items() if kind.get("readOnly")}
    assert read_only == {"supervoxel_id", "root_id"}


def posted(field: Field) -> dict[str, Any]:
    if isinstance(field, Point):
        return {field.name: {"position": EXAMPLES[SqlType.POINTZ]}}
    return {field.name: field.choices[0] if field.choices else EXAMPLES[field.type]}


def examples(name: str) -> list[dict[str, Any]]:
    """One with all fields, one with the required ones."""
    if name in DERIVED:
        return []
    fields = schema(name).fields
    required = [field for field in fields if field.required]
    return [{k: v for field in some for k, v in posted(field).items()} for some in (fields, required)]


@pytest.fixture(scope="module")
def client() -> dict[str, Any]:
    if not PYTHON.exists():
        missing = f"{PYTHON.relative_to(ROOT)} is not there; `make setup-clients` builds it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    types = {n: {"document": d, "annotations": examples(n)} for n, d in documents().items()}
    given, command = json.dumps(types), [PYTHON, DRIVER]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted(set(schema_names()) - DERIVED))
def test_caveclient_offers_every_column(name: str, client: dict[str, Any]) -> None:
    of, seen = schema(name), client[name]
    values = [field for field in of.fields if isinstance(field, Value)]
    points = [field.name for field in of.fields if isinstance(field, Point)]
    assert seen["bound"] == [point.name for point in of.points]
    assert seen["free"] == [point for point in points if point not in seen["bound"]]
    assert seen["numeric"] == [value.name for value in values if value.type in NUMERIC]
    assert seen["plain"] == ["id", *(value.name for value in values if value.type not in NUMERIC)]


@pytest.mark.parametrize("name", sorted(set(schema_names()) - DERIVED))
def test_what_caveclient_stages_is_accepted(name: str, client: dict[str, Any]) -> None:
    of = schema(name)
    full, least = (load_annotation(of, annotation, user_id=1) for annotation in client[name]["staged"])
    hidden = {Role.CREATED, Role.DELETED, Role.SUPERSEDED, Role.VALID} | SEGMENTATION_ROLES
    assert set(full) == set(least) == {c.name for c in of.annotation_columns() if c.role not in hidden}
    assert None not in full.values()
    assert {key for key, value in least.items() if value is not None} == {"id"} | {
        column.name for column in of.flat_columns() if column.required or column.role is Role.USER
    }
