"""The document over HTTP, and Swagger UI over it: its files come with a package, and its page may load no others."""

from __future__ import annotations

import mimetypes
from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Flask, Response, current_app, json, request
from flask_smorest import Api
from werkzeug.exceptions import NotFound

from ..arguments import MATERIALIZE
from ..auth import open_to_all
from .document import complete

blueprint = Blueprint("description", __name__, url_prefix=MATERIALIZE)

_API, _TEXT = "materializationengine.api", "materializationengine.openapi"
_OURS = Path(__file__).parent
_FILES = Path(flask_swagger_ui.__file__).parent / "dist"
_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
_KEPT = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "LICENSE", "VERSION")
"""What of the package the page needs; it holds more."""


def init_app(app: Flask, api: Api) -> None:
    """Serve the description of what `api` holds."""
    app.extensions[_API] = api
    app.register_blueprint(blueprint)


@blueprint.get("/openapi.json")
@open_to_all
def openapi() -> Response:
    """This API as an OpenAPI 3 document."""
    found = current_app.extensions.get(_TEXT)
    if found is None:
        found = json.dumps(complete(current_app, current_app.extensions[_API]), indent=1)
        current_app.extensions[_TEXT] = found
    return _conditional(Response(found, content_type="application/json"))


@blueprint.get("/doc")
@open_to_all
def doc() -> Response:
    """The same as a page to read and try, which needs no other host."""
    return _file(_OURS / "doc.html")


@blueprint.get("/doc/<path:name>")
@open_to_all
def doc_file(name: str) -> Response:
    """What the page is made of, with its license."""
    if name != "start.js" and name not in _KEPT:
        raise NotFound
    return _file((_OURS if name == "start.js" else _FILES) / name)


def _file(path: Path) -> Response:
    response = Response(path.read_bytes(), content_type=mimetypes.guess_type(path.name)[0] or "text/plain")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "max-age=3600"
    return _conditional(response)


def _conditional(response: Response) -> Response:
    response.add_etag()
    response.make_conditional(request)
    return response
