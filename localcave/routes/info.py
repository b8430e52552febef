"""The info service: datastacks and aligned volumes."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify, request

from localcave.directory import Directory, Record
from localcave.routes.tables import store

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
    return jsonify(_directory().datastacks())


@routes.get(f"{API}/datastack/full/<name>")
def datastack_full(name: str) -> Response:
    known = _directory()
    record, volume = known.record(name), known.volume_of(name)
    return jsonify({"aligned_volume": _with_image(volume, known.image_sources(name)), **record})


@routes.get(f"{API}/datastack/<name>")
def datastack(name: str) -> Response:
    known = _directory()
    link = f"/info{API}/aligned_volume/id/{known.volume_of(name)['id']}"
    return jsonify({"aligned_volume": link, **known.record(name)})


@routes.get(f"{API}/datastack/<name>/image_sources")
def image_sources(name: str) -> Response:
    return jsonify(_directory().image_sources(name))


@routes.get(f"{API}/aligned_volume")
def aligned_volumes() -> Response:
    return jsonify(_directory().volumes())


@routes.get(f"{API}/aligned_volume/<name>")
def aligned_volume(name: str) -> Response:
    return jsonify(_directory().volume(name))


@routes.get(f"{API}/aligned_volume/id/<int:number>")
def aligned_volume_by_id(number: int) -> Response:
    return jsonify(_directory().volume_by_number(number))


@routes.get(f"{API}/aligned_volume/<name>/datastacks")
def datastacks_of_volume(name: str) -> Response:
    known = _directory()
    number = known.volume(name)["id"]
    return jsonify([one for one in known.datastacks() if known.volume_of(one)["id"] == number])


@routes.get(f"{API}/ngl_info")
def ngl_info() -> Response:
    known = _directory()
    return jsonify({one: known.record(one)["viewer_site"] for one in known.datastacks()})


def _with_image(volume: Record, sources: list[Record]) -> Record:
    asked = request.args.get("image_source_name")
    chosen = [one for one in sources if one.get("name") == asked]
    return {**volume, "image_source": chosen[0]["image_source"]} if chosen else volume


def _directory() -> Directory:
    base = (store().public_url or request.url_root).rstrip("/")
    return Directory(store(), current_app.extensions["localcave.written"], base)
