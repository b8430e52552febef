"""What happens around every request: an id, a log line, and the headers that let browsers read an answer."""

from __future__ import annotations

import time

import structlog
from flask import Flask, Response, g, request

from ..kernel import trace
from .arguments import check_text
from .meters import NO_RULE
from .once import REPLAYED
from .parts import parts

log = structlog.get_logger(__name__)

EXPOSED = (
    "WWW-Authenticate, Warning, Retry-After, ETag, column_names, dataframe_resolution, "
    "X-Column-Names, X-Row-Limit, X-Next-Cursor, X-Effective-Timestamp, X-Consistency, X-Answered-From, X-Request-ID, "
    "Idempotency-Replayed"
)
_ASKED = "Authorization, Content-Type, X-Requested-With, Idempotency-Key, If-None-Match"
_QUIET = ("/health", "/metrics")


def init_app(app: Flask) -> None:
    """Register the hooks."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.request_id = trace.accepted(request.headers.get("X-Request-ID", ""))
    g.started = time.monotonic()
    trace.forget()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    check_text(request.path, "path")
    for name, value in request.args.items(multi=True):
        check_text(name, "query")
        check_text(value, name)


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id", "")
    if g.get("replayed"):
        response.headers[REPLAYED] = "true"
    response.headers.setdefault("Access-Control-Allow-Origin", "*")
    response.headers.setdefault("Access-Control-Expose-Headers", EXPOSED)
    if request.method == "OPTIONS":
        response.headers.setdefault("Access-Control-Allow-Headers", _ASKED)
        response.headers.setdefault("Access-Control-Allow-Methods", response.headers.get("Allow", "GET, POST"))
    seconds = round(time.monotonic() - g.get("started", time.monotonic()), 4)
    rule = request.url_rule.rule if request.url_rule else NO_RULE
    parts().meters.answered(request.method, rule, response.status_code, seconds)
    if not request.path.startswith(_QUIET):
        log.info("request", method=request.method, path=request.path, status=response.status_code, seconds=seconds)
    return response
