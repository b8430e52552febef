"""The services as one WSGI application."""

from __future__ import annotations

import gzip
import logging
import time

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from localcave.directory import Written
from localcave.errors import ServiceError
from localcave.faults import SERVICES, FaultSwitches
from localcave.routes import admin, auth, edits, info, logs, nodes, page, schema, segmentation
from localcave.store import Store
from localcave.times import now_ms, to_datetime
from localcave.users import Users

log = logging.getLogger("localcave")


WORTH_PACKING = 500  # bytes


def create_app(store: Store, users: Users, written: Written | None = None) -> Flask:
    """Return the application that serves a store to users, and what a file says of further datastacks."""
    app = Flask("localcave")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["localcave.store"] = store
    app.extensions["localcave.users"] = users
    app.extensions["localcave.written"] = written or Written()
    app.extensions["localcave.faults"] = faults = FaultSwitches()
    app.before_request(lambda: _misbehave(faults))
    app.before_request(auth.guard)
    app.after_request(lambda response: _packed(response) if store.settings["gzip"] else response)
    app.after_request(_allow_browsers)
    for module in (segmentation, nodes, edits, logs, info, schema, auth, admin, page):
        app.register_blueprint(module.routes)
    app.register_blueprint(nodes.meshing)
    app.register_error_handler(ServiceError, lambda problem: _refusal(problem.status, str(problem)))
    app.register_error_handler(HTTPException, lambda problem: _refusal(problem.code or 500, problem.description or ""))
    app.register_error_handler(Exception, _unforeseen)
    return app


def _misbehave(faults: FaultSwitches) -> Response | None:
    service = request.path.split("/")[1]
    if service not in SERVICES or not faults.concerns(request.path):
        return None
    time.sleep(faults.now.latency_ms / 1000)
    burst = faults.burst(service)
    if burst is None:
        return None
    refusal = _refusal(burst.status, f"the {service} service was told to answer {burst.status}")
    if burst.retry_after is not None:
        refusal.headers["Retry-After"] = str(burst.retry_after)
    return refusal


def _allow_browsers(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = "WWW-Authenticate, Content-Range, Used-Bounds"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
        asked = request.headers.get("Access-Control-Request-Headers", "*")
        response.headers["Access-Control-Allow-Headers"] = asked
    return response


def _packed(response: Response) -> Response:
    wanted = "gzip" in request.headers.get("Accept-Encoding", "") and 200 <= response.status_code < 300
    if not wanted or response.direct_passthrough or "Content-Encoding" in response.headers:
        return response
    if (raw := response.get_data()) and len(raw) >= WORTH_PACKING:
        response.set_data(gzip.compress(raw, compresslevel=1))
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    return response


def _refusal(status: int, message: str) -> Response:
    moment = to_datetime(now_ms()).isoformat()
    refusal = jsonify({"timestamp": moment, "duration": 0, "code": status, "message": message})
    refusal.status_code = status
    return refusal


def _unforeseen(problem: Exception) -> Response:
    # The outermost seam: whatever failed, the client gets the envelope and the log the reason.
    log.exception("%s %s failed", request.method, request.path)
    return _refusal(500, f"{type(problem).__name__}: {problem}")
