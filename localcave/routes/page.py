"""A page to look at a volume's objects and edit them by clicking, and the volume itself for viewers."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, current_app, jsonify, redirect, request, send_from_directory

from localcave import slices, wire
from localcave.errors import NotFound
from localcave.loaded import Loaded
from localcave.routes.tables import Asked, store

VIEWER = "https://neuroglancer-demo.appspot.com"

routes = Blueprint("page", __name__)


@routes.get("/")
def start() -> Response:
    answer = redirect("/localcave/view")
    assert isinstance(answer, Response)
    return answer


@routes.get("/localcave/view")
def page() -> Response:
    return current_app.send_static_file("view.html")


@routes.get("/localcave/volumes")
def volumes() -> Response:
    """Tell the page what there is to see."""
    return jsonify([_volume(loaded) for loaded in store()])


@routes.get("/localcave/slices/<datastack>")
def slice_of(datastack: str) -> Response:
    target = Asked(store().datastack(datastack), None)
    axis, place = wire.number("axis"), wire.number("at")
    middle = target.loaded.volume.shape[2] // 2
    found = slices.take(target.loaded, 2 if axis is None else axis, middle if place is None else place, target.moment())
    return Response(found.packed(), mimetype="application/octet-stream")


@routes.get("/localcave/volumes/<datastack>/segmentation/<path:key>")
def volume_file(datastack: str, key: str) -> Response:
    """Serve the precomputed volume; ranges of bytes may be asked for."""
    folder = store().datastack(datastack).volume.folder
    if not (folder / key).is_file():
        raise NotFound(f"the volume of {datastack} has no file {key!r}")
    return send_from_directory(folder, key, mimetype="application/octet-stream", conditional=True)


def _volume(loaded: Loaded) -> dict[str, Any]:
    return {
        "datastack": loaded.datastack,
        "table": loaded.table,
        "shape": loaded.volume.shape,
        "resolution": loaded.world.about["resolution_nm"],
        "neuroglancer": _neuroglancer(loaded),
    }


def _neuroglancer(loaded: Loaded) -> str:
    """Return a link that opens the volume in Neuroglancer; supervoxels, as the viewer reads it without a graph."""
    base = request.url_root.rstrip("/")
    source = f"precomputed://{base}/localcave/volumes/{loaded.datastack}/segmentation"
    layer = {"type": "segmentation", "name": loaded.datastack, "source": source}
    return f"{VIEWER}/#!{quote(json.dumps({'layers': [layer]}))}"
