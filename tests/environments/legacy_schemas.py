"""Dump what emannotationschemas makes of each of its schema types, as one JSON document on standard output.

Runs inside `.venv-legacy`, which pins the last releases of `emannotationschemas` and `dynamicannotationdb`;
they cannot share our environment, so `tests/domain/test_schemas_legacy.py` calls this file as a script. It
uses only their public functions. Standard input holds annotations to load and flatten, `{type: [..]}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from dynamicannotationdb.schema import DynamicSchemaClient, flatten_dict
from emannotationschemas import get_flat_schema, get_schema, get_types
from emannotationschemas.schemas.base import ReferenceAnnotation
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import Table

TARGET = {"reference_table": "target"}


def columns(table: Table) -> list[dict[str, Any]]:
    """Name, PostgreSQL type, nullability and foreign keys of each column, in order."""
    dialect = postgresql.dialect()
    return [
        {
            "name": column.name,
            "type": column.type.compile(dialect=dialect),
            "nullable": bool(column.nullable),
            "references": sorted(key.target_fullname for key in column.foreign_keys),
        }
        for column in table.columns
    ]


def shape(model: Any) -> dict[str, Any]:
    """Columns and indexes of one model."""
    table = model.__table__
    spatial = {column.name for column in table.columns if getattr(column.type, "spatial_index", False)}
    found = [[index.name, column.name] for index in table.indexes for column in index.columns]
    return {
        "columns": columns(table),
        "indexes": sorted([*pair, "spatial" if pair[1] in spatial else "btree"] for pair in found),
    }


def flat_fields(name: str) -> dict[str, Any]:
    """Which flat field is required, and among which values it must lie."""
    return {
        key: {
            "required": field.required,
            "choices": [value for rule in field.validators for value in getattr(rule, "choices", ())],
        }
        for key, field in get_flat_schema(name)().fields.items()
    }


def shapes(name: str, reference: bool, segmented: bool) -> dict[str, Any]:
    """The three tables of one schema type."""
    make = DynamicSchemaClient
    metadata = TARGET if reference else None
    tables = {
        "annotation": make.create_annotation_model(f"t_{name}", name, metadata, reset_cache=True),
        "flat": make.create_flat_model(f"f_{name}", name, metadata, reset_cache=True),
    }
    if segmented:
        tables["segmentation"] = make.create_segmentation_model(f"t_{name}", name, "pcg", metadata, reset_cache=True)
    return {side: shape(model) for side, model in tables.items()}


def load(name: str, annotation: dict[str, Any]) -> dict[str, Any]:
    """Load an annotation, which raises if it does not fit, and return it flattened as it was posted."""
    get_schema(name)().load(annotation, unknown="exclude")
    return flatten_dict(annotation)


def describe(name: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything compared about one schema type."""
    reference = issubclass(get_schema(name), ReferenceAnnotation)
    segmented = DynamicSchemaClient.is_segmentation_table_required(name)
    return {
        "reference": reference,
        "segmented": segmented,
        "user_fields": list(DynamicSchemaClient.get_auto_user_id_fields(name) or ()),
        "flat_fields": flat_fields(name),
        "tables": shapes(name, reference, segmented),
        "loaded": [load(name, annotation) for annotation in annotations],
    }


def main() -> None:
    """Write the document."""
    annotations = json.load(sys.stdin)
    json.dump(
        {name: describe(name, annotations.get(name, [])) for name in get_types()},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
