"""The annotation service as AnnotationClient needs it: tables of an aligned volume, and the annotations in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, jsonify

from ..domain.datastack import Datastack
from ..domain.errors import BadRequest
from ..domain.names import check_table_name
from ..domain.schemas import schema
from ..domain.schemas.validation import load_annotations
from ..kernel import moments
from ..kernel.columns import Connection
from ..storage import annotation_catalog as catalog
from ..storage import annotations as storage
from ..storage.annotation_rows import Row
from ..storage.models import AnnotationTable, Permission
from .annotation_payloads import AnnotationIdList, AnnotationIds, Annotations, ChangeMetadata, CreateTable
from .arguments import Blueprint
from .auth import check_owner, check_read, check_write, needs, open_to_all, user
from .encoders.headers import warn
from .extensions import live_session
from .once import once
from .parts import parts
from .records import metadata_record

VOLUME = "aligned_volume"
_TABLE = "/api/v2/aligned_volume/<aligned_volume>/table"
_ROWS = f"{_TABLE}/<table>/annotations"

blueprint = Blueprint("annotations", __name__, url_prefix="/annotation", description="Tables that people write to")


@blueprint.route("/api/versions")
@open_to_all
def api_versions() -> Response:
    """Generations of this API."""
    return jsonify([2])


@blueprint.route(_TABLE)
@needs("view", VOLUME)
def list_tables(aligned_volume: str) -> Response:
    """Names of the tables that are not deleted."""
    return jsonify(catalog.names(live_session(_volume(aligned_volume))))


@blueprint.route(_TABLE, methods=["POST"])
@needs("edit", VOLUME)
@blueprint.arguments(CreateTable)
def create_table(body: dict[str, Any], aligned_volume: str) -> Response:
    """Make a table; answers with its name."""
    stacks = parts().datastacks_of(aligned_volume)
    table = _new_table(body, stacks)
    database = parts().live.meet(aligned_volume)
    with storage.writing(parts().services.cluster, database) as connection:
        return jsonify(once(connection, lambda: catalog.create(connection, table)))


@blueprint.route(_TABLE, methods=["PUT"])
@needs("edit", VOLUME)
@blueprint.arguments(ChangeMetadata)
def change_metadata(body: dict[str, Any], aligned_volume: str) -> Response:
    """Change a table's description, notice, owner or permissions; answers with all of its metadata."""
    session = live_session(_volume(aligned_volume))
    table = catalog.find(session, body["table_name"])
    check_owner(table)
    catalog.change(session, table, _changes(body["metadata"]))
    return jsonify(_record(table, aligned_volume))


@blueprint.route(f"{_TABLE}/<table>")
@needs("view", VOLUME)
def get_table(aligned_volume: str, table: str) -> Response:
    """Metadata of a table."""
    found = catalog.find(live_session(_volume(aligned_volume)), table)
    notice = [f"Table Owner Notice on {table}: {found.notice_text}"] if found.notice_text else []
    return warn(jsonify(_record(found, aligned_volume)), notice)


@blueprint.route(f"{_TABLE}/<table>", methods=["DELETE"])
@needs("edit", VOLUME)
def delete_table(aligned_volume: str, table: str) -> Response:
    """Remove a table: versions of earlier moments keep it."""
    check_owner(catalog.find(live_session(_volume(aligned_volume)), table))
    with storage.writing(parts().services.cluster, aligned_volume) as connection:
        catalog.remove(connection, storage.hold(connection, table))
    return jsonify(table)


@blueprint.route(f"{_TABLE}/<table>/count")
@needs("view", VOLUME)
def count_annotations(aligned_volume: str, table: str) -> Response:
    """Annotations that are current."""
    check_read(catalog.find(live_session(_volume(aligned_volume)), table))
    with parts().services.cluster.connect(aligned_volume, "annotations") as connection:
        return jsonify(storage.count(connection, table))


@blueprint.route(_ROWS)
@needs("view", VOLUME)
@blueprint.arguments(AnnotationIdList, location="query")
def get_annotations(options: dict[str, str], aligned_volume: str, table: str) -> Response:
    """Annotations as rows of the live table, current or not, in the order asked for."""
    found = catalog.find(live_session(_volume(aligned_volume)), table)
    check_read(found)
    ids = [_id(text) for text in options["annotation_ids"].split(",")]
    with parts().services.cluster.connect(aligned_volume, "annotations") as connection:
        rows = storage.get(connection, table, schema(found.schema_type), ids)
    return jsonify([_row(row) for row in rows])


@blueprint.route(_ROWS, methods=["POST"])
@needs("edit", VOLUME)
@blueprint.arguments(Annotations)
def post_annotations(body: dict[str, Any], aligned_volume: str, table: str) -> Response:
    """Insert annotations; answers with their ids in the same order."""
    found = _writable(aligned_volume, table, body["annotations"])
    rows = load_annotations(schema(found.schema_type), body["annotations"], user_id=user().id)
    with storage.writing(parts().services.cluster, aligned_volume) as connection:
        return jsonify(once(connection, lambda: storage.post(connection, storage.hold(connection, table), rows)))


@blueprint.route(_ROWS, methods=["PUT"])
@needs("edit", VOLUME)
@blueprint.arguments(Annotations)
def update_annotations(body: dict[str, Any], aligned_volume: str, table: str) -> Response:
    """Replace annotations; answers with old id to new id."""
    found = _writable(aligned_volume, table, body["annotations"])
    kind = schema(found.schema_type)
    changes = load_annotations(kind, body["annotations"], partial=True, user_id=user().id)
    with storage.writing(parts().services.cluster, aligned_volume) as connection:
        return jsonify(once(connection, lambda: _updated(connection, table, changes)))


@blueprint.route(_ROWS, methods=["DELETE"])
@needs("edit", VOLUME)
@blueprint.arguments(AnnotationIds)
def delete_annotations(body: dict[str, Any], aligned_volume: str, table: str) -> Response:
    """Close annotations; answers with their ids."""
    ids = body["annotation_ids"]
    _writable(aligned_volume, table, ids)
    with storage.writing(parts().services.cluster, aligned_volume) as connection:
        return jsonify(once(connection, lambda: storage.delete(connection, storage.hold(connection, table), ids)))


def _updated(connection: Connection, table: str, changes: Sequence[Row]) -> dict[str, int]:
    new = storage.update(connection, storage.hold(connection, table), changes)
    return {str(old): successor for old, successor in new.items()}


def _volume(name: str) -> str:
    """The live database of an aligned volume. Raises Unknown: nobody makes a database by asking for it."""
    parts().datastacks_of(name)
    return name


def _writable(volume: str, table: str, rows: list[Any]) -> AnnotationTable:
    found = catalog.find(live_session(_volume(volume)), table)
    check_write(found)
    storage.check_size(rows)
    return found


def _new_table(body: dict[str, Any], stacks: tuple[Datastack, ...]) -> catalog.NewTable:
    metadata = body["metadata"]
    name = body["table_name"]
    for stack in stacks:
        check_table_name(name, stack.pcg_table)
    reference = (metadata.get("table_metadata") or {}).get("reference_table") or metadata.get("reference_table")
    return catalog.NewTable(
        name=name,
        schema=schema(body["schema_type"]),
        description=metadata["description"],
        user_id=metadata.get("user_id") or str(user().id),
        resolution=(metadata["voxel_resolution_x"], metadata["voxel_resolution_y"], metadata["voxel_resolution_z"]),
        reference_table=reference,
        notice_text=metadata.get("notice_text") or None,
        flat_segmentation_source=metadata.get("flat_segmentation_source"),
        write_permission=Permission(metadata["write_permission"]),
        read_permission=Permission(metadata["read_permission"]),
    )


def _changes(metadata: dict[str, Any]) -> dict[str, Any]:
    changes = dict(metadata)
    for name in ("read_permission", "write_permission"):
        if name in changes:
            changes[name] = Permission(changes[name])
    return changes


def _record(table: AnnotationTable, volume: str) -> dict[str, Any]:
    return {**metadata_record(table), "aligned_volume": volume}


def _id(text: str) -> int:
    number = int(text)
    if number >= 2**63:
        raise BadRequest(f"annotation_ids: {text.strip()} is no id; ids have 63 bits", field="annotation_ids")
    return number


def _row(row: dict[str, Any]) -> dict[str, Any]:
    history = {name: row[name] for name in ("created", "deleted")}
    return row | {
        name: None if moment is None else moments.wire(moments.aware(moment)) for name, moment in history.items()
    }
