"""Tables found by words, as JSON; the datastack's page shows the same."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from ..kernel import moments
from ..storage.table_search import FoundTable, search
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import may_read, needs
from .extensions import live_session
from .parts import parts
from .payloads import SearchOptions

blueprint = Blueprint("table_search", __name__, url_prefix=MATERIALIZE, description="Tables found by words")


@generations(blueprint, "/datastack/<datastack>/tables", 3)
@needs("view")
@blueprint.arguments(SearchOptions, location="query")
def find_tables(options: dict[str, Any], datastack: str) -> Response:
    """Tables whose name, description, schema or owner holds every word of `search`."""
    return jsonify([found_record(table) for table in found_tables(datastack, options["search"])])


def found_tables(datastack: str, words: str) -> list[FoundTable]:
    """Tables by name. Raises UnknownDatastack."""
    session = live_session(parts().datastack(datastack).aligned_volume)
    return search(session, datastack, words.split())


def found_record(table: FoundTable) -> dict[str, Any]:
    """A table as clients read it; how many rows it has is for those who may read them."""
    known = table.annotation
    return {
        "table_name": known.table_name,
        "schema": known.schema_type,
        "description": known.description,
        "user_id": known.user_id,
        "reference_table": known.reference_table,
        "read_permission": known.read_permission.value,
        "row_count": table.row_count if may_read(known) else None,
        "version": table.version,
        "last_modified": moments.wire(table.changed),
    }
