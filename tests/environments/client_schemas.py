"""Show what caveclient reads in JSON schemas, as one JSON document on standard output.

Runs inside `.venv-caveclient`; `tests/domain/test_schemas_json.py` calls it as a script. Standard input holds
`{type: {"document": json_schema, "annotations": [nested annotation, ...]}}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from caveclient.tools.stage import StagedAnnotations
from caveclient.tools.table_manager import get_col_info


def flat(annotation: dict[str, Any]) -> dict[str, Any]:
    """As a user of the staging writes it: a point by its position."""
    points = {key: value["position"] for key, value in annotation.items() if isinstance(value, dict)}
    values = {key: value for key, value in annotation.items() if key not in points}
    return values | {f"{key}_position": position for key, position in points.items()}


def staged(name: str, document: dict[str, Any], annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stage annotations as an update, which carries ids, and return what would be posted."""
    stage = StagedAnnotations(document, name=name, update=True)
    for number, annotation in enumerate(annotations):
        stage.add(id=number, **flat(annotation))
    return stage.annotation_list


def describe(name: str, document: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns the client offers for a type, and the annotations it would post."""
    bound, plain, numeric, free = get_col_info(name, None, schema_definition=document)
    columns = {"bound": bound, "plain": plain, "numeric": numeric, "free": free}
    return {**columns, "staged": staged(name, document, annotations)}


def main() -> None:
    """Write the document."""
    types = json.load(sys.stdin)
    json.dump({name: describe(name, **given) for name, given in types.items()}, sys.stdout)


if __name__ == "__main__":
    main()
