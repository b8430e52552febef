"""The schema service: a JSON schema for each annotation type, read from `schemas.json` beside the package."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from flask import Blueprint, Response, jsonify, request

from localcave.errors import NotFound

API = "/api/v2"

routes = Blueprint("schema", __name__, url_prefix="/schema")


@functools.cache
def documents() -> dict[str, dict[str, Any]]:
    """Return every type's document."""
    found: dict[str, dict[str, Any]] = json.loads(resources.files("localcave").joinpath("schemas.json").read_text())
    return found


@routes.get("/versions")
@routes.get("/api/versions")
def versions() -> Response:
    return jsonify([2])


@routes.get(f"{API}/type")
def types() -> Response:
    return jsonify(list(documents()))


@routes.get(f"{API}/type/<name>")
def one_type(name: str) -> Response:
    return jsonify(_document(name))


@routes.post(f"{API}/types")
def some_types() -> Response:
    names = [name for name in request.args.get("schema_names", "").split(",") if name]
    return jsonify({name: _document(name) for name in names})


@routes.get(f"{API}/types_all")
def all_types() -> Response:
    return jsonify(documents())


def _document(name: str) -> dict[str, Any]:
    if name not in documents():
        raise NotFound(f"there is no schema {name!r}")
    return documents()[name]
