"""The info service: datastacks and aligned volumes."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from localcave.errors import NotFound
from localcave.store import Loaded, Store

API = "/api/v2"

routes = Blueprint("info", __name__, url_prefix="/info")


@routes.get("/version")
def version() -> Response:
    return jsonify("4.3.3")


@routes.get("/api/versions")
def versions() -> Response:
    return jsonify([2])


@routes.get("/health")
def health() -> Response:
    return jsonify("healthy")


@routes.get(f"{API}/datastacks")
def datastacks() -> Response:
    return jsonify([loaded.datastack for loaded in _store()])


@routes.get(f"{API}/datastack/full/<name>")
def datastack_full(name: str) -> Response:
    loaded = _store().datastack(name)
    return jsonify({"aligned_volume": _volume(loaded), **_record(loaded)})


@routes.get(f"{API}/datastack/<name>")
def datastack(name: str) -> Response:
    loaded = _store().datastack(name)
    return jsonify({"aligned_volume": f"/info{API}/aligned_volume/id/{loaded.number}", **_record(loaded)})


@routes.get(f"{API}/datastack/<name>/image_sources")
def image_sources(name: str) -> Response:
    _store().datastack(name)
    return jsonify([])  # a world has no images


@routes.get(f"{API}/aligned_volume")
def aligned_volumes() -> Response:
    return jsonify([loaded.aligned_volume for loaded in _store()])


@routes.get(f"{API}/aligned_volume/<name>")
def aligned_volume(name: str) -> Response:
    return jsonify(_volume(_by_volume(name)))


@routes.get(f"{API}/aligned_volume/id/<int:number>")
def aligned_volume_by_id(number: int) -> Response:
    for loaded in _store():
        if loaded.number == number:
            return jsonify(_volume(loaded))
    raise NotFound(f"there is no aligned volume {number}")


@routes.get(f"{API}/aligned_volume/<name>/datastacks")
def datastacks_of_volume(name: str) -> Response:
    return jsonify([_by_volume(name).datastack])


def base_url() -> str:
    """Return the base URL under which clients reach these services."""
    return (_store().public_url or request.url_root).rstrip("/")


def _store() -> Store:
    store: Store = current_app.extensions["localcave.store"]
    return store


def _by_volume(name: str) -> Loaded:
    for loaded in _store():
        if loaded.aligned_volume == name:
            return loaded
    raise NotFound(f"there is no aligned volume {name!r}")


def _volume(loaded: Loaded) -> dict[str, Any]:
    return {
        "id": loaded.number,
        "name": loaded.aligned_volume,
        "display_name": loaded.aligned_volume,
        "description": f"The volume of the world in {loaded.world.folder.name}",
        "image_source": "",
    }


def _record(loaded: Loaded) -> dict[str, Any]:
    x, y, z = (float(size) for size in loaded.world.about["resolution_nm"])
    return {
        "segmentation_source": f"graphene://{base_url()}/segmentation/table/{loaded.table}",
        "skeleton_source": None,
        "analysis_database": None,
        "viewer_site": None,
        "synapse_table": None,
        "soma_table": None,
        "local_server": base_url(),
        "description": f"The world in {loaded.world.folder.name}",
        "viewer_resolution_x": x,
        "viewer_resolution_y": y,
        "viewer_resolution_z": z,
        "proofreading_status_table": None,
        "cell_identification_table": None,
        "proofreading_review_table": None,
    }
