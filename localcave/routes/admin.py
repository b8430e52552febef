"""What the emulator offers beside the services: worlds, their edits, the clock, settings and faults."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from localcave import randomedits, times, wire
from localcave.errors import BadRequest
from localcave.faults import FaultSwitches
from localcave.loaded import Loaded
from localcave.routes.tables import store
from localcave.worldfile import parse_edit

MOST_RANDOM_EDITS = 100_000

routes = Blueprint("admin", __name__, url_prefix="/localcave")


@routes.get("/health")
def health() -> Response:
    return jsonify("healthy")


@routes.get("/worlds")
def worlds() -> Response:
    return jsonify([_counts(loaded) for loaded in store()])


@routes.post("/worlds")
def load_world() -> Response:
    body = wire.json_object()
    loaded = store().load(_text(body, "folder"), _text(body, "datastack"))
    return _edited(loaded, _go_on(loaded, body))


@routes.post("/edits")
def edit_world() -> Response:
    """Let a world's history go on, or apply the edits that the body spells out."""
    body = wire.json_object()
    loaded = store().datastack(_text(body, "datastack"))
    return _edited(loaded, _go_on(loaded, body) if "edits" not in body else _apply(loaded, body))


@routes.post("/random_edits")
def random_edits() -> Response:
    body = wire.json_object()
    loaded = store().datastack(_text(body, "datastack"))
    count, seed = _number(body, "count", 1), _number(body, "seed", 0)
    if count > MOST_RANDOM_EDITS:
        raise BadRequest(f"count must be at most {MOST_RANDOM_EDITS}")
    delay = _faults().delay_ms(loaded.datastack)
    done = [loaded.graph.edit([step], delay_ms=delay) for step in randomedits.steps(count, seed)]
    return _edited(loaded, sum(map(len, done)))


@routes.post("/reset")
def reset() -> Response:
    """Forget every edit of a datastack."""
    loaded = store().datastack(_text(wire.json_object(), "datastack"))
    loaded.graph.reset()
    return jsonify(_counts(loaded))


@routes.get("/clock")
def clock() -> Response:
    now = times.to_datetime(store().clock.now_ms()).isoformat()
    return jsonify({"now": now, "stopped": store().clock.stopped})


@routes.put("/clock")
def set_clock() -> Response:
    body = wire.json_object()
    store().clock.set(times.from_iso(_text(body, "now")), stopped=body.get("stopped") is True)
    return clock()


@routes.delete("/clock")
def reset_clock() -> Response:
    store().clock.reset()
    return clock()


@routes.get("/virtual_tables")
def virtual_tables() -> Response:
    return jsonify(
        {
            name: {"table": one.table, "until": times.to_datetime(one.until_ms).isoformat()}
            for name, one in store().virtual_tables.items()
        }
    )


@routes.post("/virtual_tables")
def name_table() -> Response:
    body = wire.json_object()
    store().name_table(_text(body, "name"), _text(body, "table"), _text(body, "until"))
    return virtual_tables()


@routes.get("/settings")
def settings() -> Response:
    return jsonify(store().settings)


@routes.put("/settings")
def change_settings() -> Response:
    store().configure(wire.json_object())
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


def _faults() -> FaultSwitches:
    switches: FaultSwitches = current_app.extensions["localcave.faults"]
    return switches


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"the body needs {key!r} as text")
    return value


def _number(body: dict[str, Any], key: str, default: int) -> int:
    value = body.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadRequest(f"{key!r} must be a whole number, not below 0")
    return value


def _go_on(loaded: Loaded, body: dict[str, Any]) -> int:
    delay = _faults().delay_ms(loaded.datastack)
    return loaded.go_on(body.get("until"), force=body.get("force") is True, delay_ms=delay)


def _apply(loaded: Loaded, body: dict[str, Any]) -> int:
    given = body["edits"]
    if not isinstance(given, list):
        raise BadRequest("edits must be a list of objects as in edits.jsonl")
    parsed = [parse_edit(place, one, f"edit {place}") for place, one in enumerate(given, start=1)]
    delay = _faults().delay_ms(loaded.datastack)
    return loaded.apply(parsed, force=body.get("force") is True, delay_ms=delay)


def _edited(loaded: Loaded, applied: int) -> Response:
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
        "operations": graph.operation_count,
        "answered": None if answered is None else times.to_datetime(answered).isoformat(),
    }
