"""What the emulator offers beside the services: worlds, their edits, settings and faults."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from localcave import times, wire
from localcave.errors import BadRequest
from localcave.faults import FaultSwitches
from localcave.store import Loaded, Store

routes = Blueprint("admin", __name__, url_prefix="/localcave")


@routes.get("/health")
def health() -> Response:
    return jsonify("healthy")


@routes.get("/worlds")
def worlds() -> Response:
    return jsonify([_counts(loaded) for loaded in _store()])


@routes.post("/worlds")
def load_world() -> Response:
    body = wire.json_object()
    loaded = _store().load(_text(body, "folder"), _text(body, "datastack"))
    return _edit(loaded, body)


@routes.post("/edits")
def edit_world() -> Response:
    body = wire.json_object()
    return _edit(_store().datastack(_text(body, "datastack")), body)


@routes.get("/settings")
def settings() -> Response:
    return jsonify({"public_url": _store().public_url, "strict": _store().strict})


@routes.put("/settings")
def change_settings() -> Response:
    _store().configure(wire.json_object())
    return settings()


@routes.get("/faults")
def faults() -> Response:
    return jsonify(asdict(_faults().now))


@routes.put("/faults")
def set_faults() -> Response:
    _faults().set(wire.json_object())
    return faults()


@routes.delete("/faults")
def clear_faults() -> Response:
    _faults().set({})
    return faults()


def _store() -> Store:
    store: Store = current_app.extensions["localcave.store"]
    return store


def _faults() -> FaultSwitches:
    switches: FaultSwitches = current_app.extensions["localcave.faults"]
    return switches


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"the body needs {key!r} as text")
    return value


def _edit(loaded: Loaded, body: dict[str, Any]) -> Response:
    now = _faults().now
    delay = now.visibility_delay_s if now.datastack in (None, loaded.datastack) else 0
    loaded.graph.visibility_delay_ms = round(delay * 1000)
    applied = _store().apply_edits(loaded, body.get("until"), force=body.get("force") is True)
    return jsonify({**_counts(loaded), "edits_applied": applied})


def _counts(loaded: Loaded) -> dict[str, Any]:
    graph = loaded.graph
    answered = graph.answered_ms
    return {
        "datastack": loaded.datastack,
        "aligned_volume": loaded.aligned_volume,
        "table": loaded.table,
        "folder": str(loaded.world.folder),
        "created": times.to_datetime(graph.birth_ms).isoformat(),
        "layers": graph.layout.layers,
        "supervoxels": graph.supervoxel_count,
        "objects": graph.root_count,
        "edges": graph.edge_count,
        "edits": graph.world_edits,
        "answered": None if answered is None else times.to_datetime(answered).isoformat(),
    }
