"""Views of versions and of the live database, the columns of tables, and the texts that stand in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Response, jsonify

from ..domain.datastack import Datastack
from ..domain.errors import BadQuery
from ..domain.query import simple_question
from ..domain.query_plan import QueryPlan, Source, resolve
from ..domain.schemas import Column, SqlType, schema
from ..kernel import moments
from ..storage import live_rows, unique_texts
from ..storage import version_registry as registry
from ..storage import view_registry as storage
from ..storage.annotation_catalog import find as find_table
from ..storage.models import AnalysisView
from ..storage.version_revisions import newest_revision
from .answers import Asked, answer, refuse_sampled_pages
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import check_read, needs
from .encoders.headers import warn
from .extensions import live_session
from .live_queries import public_version
from .parts import parts
from .payloads import QueryOptions, SimpleBody

blueprint = Blueprint("views", __name__, url_prefix=MATERIALIZE, description="Views, columns and their texts")

_STACK = "/datastack/<datastack>"
_VERSION = f"{_STACK}/version/<int(signed=True):version>"
LIVE = 0
"""The version that stands for the live database in the addresses of views."""

NEWEST = -1
"""The version that stands for the newest one."""

_WORDS: dict[SqlType, dict[str, str]] = {
    SqlType.BIGINT: {"type": "integer"},
    SqlType.INTEGER: {"type": "integer"},
    SqlType.DOUBLE: {"type": "float"},
    SqlType.BOOLEAN: {"type": "boolean"},
    SqlType.TEXT: {"type": "string"},
    SqlType.POINTZ: {"type": "SpatialPoint"},
    SqlType.TIMESTAMP: {"type": "string", "format": "date-time"},
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where views are looked for."""

    stack: Datastack
    database: str
    moment: datetime
    version_id: int | None = None
    """The version whose rows they show; None for the live database."""

    def view(self, name: str) -> tuple[AnalysisView, Source]:
        """One view. Raises UnknownTable."""
        return storage.find(live_session(self.stack.aligned_volume), parts().pool, self.stack.name, self.database, name)

    def views(self) -> list[tuple[AnalysisView, storage.Columns]]:
        """All of them."""
        return storage.listed(live_session(self.stack.aligned_volume), parts().pool, self.stack.name, self.database)


def place_of_views(datastack: str, number: int) -> Place:
    """The live database for 0, the newest version for -1, else that version. Raises UnknownVersion."""
    stack = parts().datastack(datastack)
    session = live_session(stack.aligned_volume)
    if number == LIVE and not registry.is_virtual(session, datastack):
        return Place(stack, stack.aligned_volume, moments.now())
    if number == NEWEST:
        number = max((each.version for each in registry.versions(session, datastack)), default=NEWEST)
    version = registry.readable_version(session, datastack, number)
    return Place(stack, version.database, version.time_stamp, version.parent_version or version.id)


@generations(blueprint, f"{_VERSION}/views", 3)
@needs("view")
def list_views(datastack: str, version: int) -> Response:
    """Views by name."""
    return jsonify({view.table_name: _record(view) for view, _ in place_of_views(datastack, version).views()})


@generations(blueprint, f"{_VERSION}/views/schemas", 3)
@needs("view")
def list_view_schemas(datastack: str, version: int) -> Response:
    """Columns of every view."""
    found = place_of_views(datastack, version).views()
    return jsonify({view.table_name: _columns(columns[view.table_name]) for view, columns in found})


@generations(blueprint, f"{_VERSION}/views/<view>/metadata", 3)
@needs("view")
def get_view(datastack: str, version: int, view: str) -> Response:
    """One view."""
    found, _ = place_of_views(datastack, version).view(view)
    return jsonify({**_record(found), "table_name": found.table_name})


@generations(blueprint, f"{_VERSION}/views/<view>/schema", 3)
@needs("view")
def get_view_schema(datastack: str, version: int, view: str) -> Response:
    """Columns of one view."""
    return jsonify(_columns(place_of_views(datastack, version).view(view)[1].columns))


@generations(blueprint, f"{_VERSION}/views/<view>/query", 3, methods=["POST"])
@needs("view")
@blueprint.arguments(SimpleBody)
@blueprint.arguments(QueryOptions, location="query")
def query_view(body: dict[str, Any], options: dict[str, Any], datastack: str, version: int, view: str) -> Response:
    """Rows of a view."""
    place = place_of_views(datastack, version)
    found, source = place.view(view)
    question = simple_question(view, body, count=options["count"], sample=options["random_sample"])
    refuse_sampled_pages(question)
    if question.after is not None and place.version_id is None:
        raise BadQuery("after: the rows of a live view change between pages; ask a version of it", field="after")
    plan = resolve(question, [source])
    asked = Asked(question, plan, place.database, place.moment, _about(place), _percent(place, plan))
    notice = [f"View Notice on {view}: {' '.join(found.notice_text.split())}"] if found.notice_text else []
    return warn(answer(asked, options), notice)


def _about(place: Place) -> str:
    """What a cursor is of: a page begins after a number of rows, and a mend changes which they are."""
    if place.version_id is None:
        return f"view {place.database}"
    revision = newest_revision(live_session(place.stack.aligned_volume), place.version_id)
    return f"view {place.database} {revision}"


def _percent(place: Place, plan: QueryPlan) -> float | None:
    if plan.sample is None:
        return None
    held = live_rows.size(parts().pool, place.database, plan.sources[0].name)
    return 100.0 * plan.sample / held if plan.sample < held else None


@generations(blueprint, f"{_VERSION}/table/<table>/schema", 3)
@needs("view")
def get_table_schema(datastack: str, version: int, table: str) -> Response:
    """Columns of a table of a version."""
    stack = parts().datastack(datastack)
    session = live_session(stack.aligned_volume)
    found = registry.table(session, stack, registry.version(session, datastack, version), table)
    return jsonify(_columns(schema(found.schema).flat_columns()))


@generations(blueprint, f"{_STACK}/table/<table>/unique_string_values", 3)
@needs("view")
def unique_string_values(datastack: str, table: str) -> Response:
    """Every text that stands in a column of text of the live table, by column."""
    stack = parts().datastack(datastack)
    session = live_session(stack.aligned_volume)
    shown = public_version(stack, moments.now())
    if shown is not None:
        known = registry.table(session, stack, shown, table)
        check_read(known.annotation)
        texts = unique_texts.of_version(parts().pool, shown, table, schema(known.schema))
        return jsonify(texts)
    found = find_table(session, table)
    check_read(found)
    return jsonify(unique_texts.of_live(parts().pool, stack.aligned_volume, table, schema(found.schema_type)))


def _columns(columns: tuple[Column, ...]) -> dict[str, dict[str, str]]:
    return {column.name: _WORDS[column.type] for column in columns}


def _record(view: AnalysisView) -> dict[str, Any]:
    return {
        "id": view.id,
        "description": view.description,
        "datastack_name": view.datastack_name,
        "voxel_resolution_x": view.voxel_resolution_x,
        "voxel_resolution_y": view.voxel_resolution_y,
        "voxel_resolution_z": view.voxel_resolution_z,
        "notice_text": view.notice_text,
        "live_compatible": view.live_compatible,
    }
