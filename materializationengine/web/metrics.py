"""`/metrics`, for Prometheus."""

from __future__ import annotations

import hmac
from pathlib import Path

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ..domain.errors import ConfigurationError, NotLoggedIn
from .auth import open_to_all, token
from .figures import Figures
from .parts import parts

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@open_to_all
def metrics() -> Response:
    """Figures in Prometheus's text form: of this process's requests, and of the whole service."""
    _admit()
    shared = CollectorRegistry()
    shared.register(Figures(parts()))
    text = generate_latest(parts().meters.own()) + generate_latest(shared)
    return Response(text, content_type=CONTENT_TYPE_LATEST)


def _admit() -> None:
    """Let in whoever has the token of MATERIALIZATION_METRICS_TOKEN_FILE; without one, administrators of the site."""
    wanted = _wanted(parts().settings.metrics_token_file)
    if wanted is None:
        parts().auth.require_admin(token())
        return
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(given.encode(), wanted.encode()):
        raise NotLoggedIn("figures take the token of MATERIALIZATION_METRICS_TOKEN_FILE", error="invalid_token")


def _wanted(path: str) -> str | None:
    if not path:
        return None
    try:
        # Read every time: a secret that is changed counts at once.
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"MATERIALIZATION_METRICS_TOKEN_FILE={path} cannot be read") from error
