"""JSON schemas of the schema types in the shape that CAVE's schema service gives out (rest_api.md 2.7, 3).

`caveclient` builds its table classes and its staging from these documents. It tells a field's type by
`format`, or else `type`, so a type is always one word: a list of words, as a nullable field might have, hides
the field.
"""

from __future__ import annotations

import json
from typing import Any

from . import schema, schema_names
from .fields import Field, Point, PointKind, SqlType, Value
from .flatten import Schema

DRAFT = "http://json-schema.org/draft-07/schema#"

_TYPES: dict[SqlType, dict[str, Any]] = {
    SqlType.BIGINT: {"type": "integer"},
    SqlType.INTEGER: {"type": "integer"},
    SqlType.DOUBLE: {"type": "number", "format": "float"},
    SqlType.TEXT: {"type": "string"},
    SqlType.BOOLEAN: {"type": "boolean"},
    SqlType.POINTZ: {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 3,
        "maxItems": 3,
    },
}


def documents() -> dict[str, dict[str, Any]]:
    """The document of every schema type, by name."""
    return {name: document(schema(name)) for name in schema_names()}


def as_text() -> str:
    """All documents as one JSON object, one line for each type."""
    lines = (f"{json.dumps(name)}: {json.dumps(found)}" for name, found in documents().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def document(of: Schema) -> dict[str, Any]:
    """The JSON schema of one type."""
    name = definition_name(of.name)
    kinds = {field.kind.name: field.kind for field in of.fields if isinstance(field, Point)}
    points = {kind.name: _point(kind) for kind in kinds.values()}
    return {
        "$schema": DRAFT,
        "definitions": {**points, name: _object(_flat_fields(of))},
        "$ref": f"#/definitions/{name}",
    }


def definition_name(schema_name: str) -> str:
    """`cell_type_local` is defined as `CellTypeLocal`."""
    return "".join(word.capitalize() for word in schema_name.split("_"))


def _flat_fields(of: Schema) -> list[Field]:
    """The fields, with the parts of a point that has no name in the point's place."""
    fields: list[Field] = []
    for field in of.fields:
        fields.extend(field.kind.parts if isinstance(field, Point) and not field.name else [field])
    return fields


def _object(fields: list[Field]) -> dict[str, Any]:
    # Further properties are allowed because an update carries `id`, and caveclient checks it against this.
    return {
        "type": "object",
        "required": [field.name for field in fields if field.required],
        "properties": {field.name: _property(field) for field in fields},
        "additionalProperties": True,
    }


def _point(kind: PointKind) -> dict[str, Any]:
    return {**_object(list(kind.parts)), "additionalProperties": False}


def _property(field: Field) -> dict[str, Any]:
    if isinstance(field, Point):
        return {"type": "object", "$ref": f"#/definitions/{field.kind.name}"}
    return {**_TYPES[field.type], **_limits(field)}


def _limits(value: Value) -> dict[str, Any]:
    limits: dict[str, Any] = {"enum": list(value.choices)} if value.choices else {}
    return limits if value.from_client else {**limits, "readOnly": True}
