"""The neighbors' paths on a development server: passed on to local CAVE, so that one base URL serves a client."""

from __future__ import annotations

from flask import Flask, Response, request

from ..domain.errors import Unknown
from .parts import parts

PREFIXES = ("info", "segmentation", "meshing", "schema", "auth", "sticky_auth", "localcave")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def init_app(app: Flask) -> None:
    """Serve the paths; without LOCALCAVE_URL the application knows nothing of them."""
    if not parts(app).neighbors:
        return
    for prefix in PREFIXES:
        for rule in (f"/{prefix}", f"/{prefix}/<path:rest>"):
            app.add_url_rule(rule, "neighbor", _forward, methods=METHODS, provide_automatic_options=False)


def _forward(rest: str = "") -> Response:
    neighbors = parts().neighbors
    if neighbors is None:
        raise Unknown
    path = request.full_path if request.query_string else request.path
    answer = neighbors.forward(request.method, path, list(request.headers), request.get_data())
    response = Response(answer.body, answer.status)
    response.headers.clear()
    response.headers.extend(answer.headers)
    return response
