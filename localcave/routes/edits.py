"""The chunkedgraph's REST interface, version 1: merge, split, undo."""

from __future__ import annotations

import json

import numpy as np
from flask import Blueprint, Response, current_app, request

from localcave import undoing, wire
from localcave.editing import Author
from localcave.errors import BadRequest, Unanswerable
from localcave.faults import FaultSwitches
from localcave.journal import Operation
from localcave.loaded import Loaded
from localcave.points import Mark
from localcave.routes.auth import me
from localcave.routes.segmentation import TABLE
from localcave.routes.tables import editable, needs

routes = Blueprint("edits", __name__, url_prefix="/segmentation")


@routes.post(f"{TABLE}/merge")
@needs("edit")
def merge(table: str) -> Response:
    return _merge(editable(table), same_segment=False)


@routes.post(f"{TABLE}/merge_admin")
@needs("admin")
def merge_admin(table: str) -> Response:
    return _merge(editable(table), same_segment=wire.flag("allow_same_segment_merge"))


@routes.post(f"{TABLE}/split")
@needs("edit")
def split(table: str) -> Response:
    loaded = editable(table)
    sources, sinks = _sides()
    return _done(loaded.editor.split(sources, sinks, author(loaded), mincut=wire.flag("mincut", True)))


@routes.post(f"{TABLE}/graph/split_preview")
@needs("edit")
def split_preview(table: str) -> Response:
    found = editable(table).editor.preview(*_sides())
    return wire.reply({"supervoxel_connected_components": found.components, "illegal_split": found.illegal})


@routes.post(f"{TABLE}/undo")
@needs("edit")
def undo(table: str) -> Response:
    loaded = editable(table)
    return _done(undoing.undo(loaded.graph, _operation_id(), author(loaded)))


@routes.post(f"{TABLE}/redo")
@needs("edit")
def redo(table: str) -> Response:
    loaded = editable(table)
    return _done(undoing.redo(loaded.graph, _operation_id(), author(loaded)))


@routes.post(f"{TABLE}/rollback_user")
@needs("superadmin")
def rollback_user(table: str) -> Response:
    loaded, user = editable(table), wire.number("user_id")
    if user is None:
        raise BadRequest("user_id is missing")
    try:
        skipped = [int(number) for number in json.loads(request.args.get("skip_operation_ids") or "[]")]
    except (ValueError, TypeError):
        raise BadRequest("skip_operation_ids must be a JSON list of numbers") from None
    done = undoing.roll_back(loaded.graph, user, skipped, author(loaded))
    return wire.reply([_said(operation) for operation in done])


def author(loaded: Loaded) -> Author:
    """Return who edits, and how late others are told to see it."""
    faults: FaultSwitches = current_app.extensions["localcave.faults"]
    return Author(me().id, faults.delay_ms(loaded.datastack))


def _merge(loaded: Loaded, *, same_segment: bool) -> Response:
    marks = wire.marks(wire.document())
    if len(marks) != 2:
        raise Unanswerable(f"a merge needs two points, not {len(marks)}")
    reach = wire.number("chebyshev_distance")
    operation = loaded.editor.merge(
        marks, author(loaded), reach=3 if reach is None else reach, same_segment=same_segment
    )
    return _done(operation)


def _sides() -> tuple[list[Mark], list[Mark]]:
    body = wire.json_object()
    return wire.marks(body.get("sources")), wire.marks(body.get("sinks"))


def _operation_id() -> int:
    found = wire.json_object().get("operation_id")
    try:
        return int(found)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise BadRequest("the body needs the number of an operation under 'operation_id'") from None


def _done(operation: Operation | None) -> Response:
    return wire.reply(_said(operation))


def _said(operation: Operation | None) -> dict[str, object]:
    if operation is None:
        return {"operation_id": None, "new_root_ids": []}
    return {"operation_id": operation.id, "new_root_ids": np.array(operation.new_roots, np.uint64)}
