"""Whether the service lives, is ready, and is well. These need no token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from flask import Blueprint, Response, jsonify

from ..domain.errors import NewerDatabase, StorageUnavailable
from ..domain.health import Finding, Light, worst
from ..storage.health import count_versions, ping
from ..storage.live_database import refuse_newer
from .auth import open_to_all
from .parts import parts

blueprint = Blueprint("health", __name__)


@blueprint.get("/health/live")
@open_to_all
def live() -> Response:
    """The process answers; it asks nobody else."""
    return jsonify({"status": "ok"})


@blueprint.get("/health/ready")
@open_to_all
def ready() -> tuple[Response, int]:
    """Whether requests that need the database would be served."""
    try:
        ping(parts().services.cluster)
        refuse_newer(parts().services.cluster, parts().services.cluster.home)
    except NewerDatabase as error:
        return jsonify({"database": "newer", "reason": error.message}), 503
    except StorageUnavailable as error:
        return jsonify({"database": "unreachable", "reason": error.message}), 503
    return jsonify({"database": "ok"}), 200


@blueprint.get("/health")
@open_to_all
def health() -> tuple[Response, int]:
    """Lights of the service and of each datastack, beside CAVE's number of versions in each live database."""
    watcher = parts().watcher
    service = watcher.service()
    body: dict[str, Any] = {"status": worst(service), "service": _checks(service)}
    body["datastacks"] = _datastacks(watcher.datastacks())
    try:
        return jsonify(body | count_versions(parts().services.cluster)), 200
    except StorageUnavailable:
        return jsonify(body), 503


def _datastacks(findings: Sequence[Finding]) -> dict[str, Any]:
    named = sorted((each for each in findings if each.datastack), key=lambda each: each.datastack)
    groups = ((name, list(found)) for name, found in groupby(named, lambda each: each.datastack))
    return {name: {"status": worst(found), "checks": _checks(found)} for name, found in groups}


def _checks(findings: Sequence[Finding]) -> dict[str, str]:
    """The light of each check, with what was found behind it where it is not green."""
    lights: dict[str, str] = {}
    for each in sorted(findings, key=lambda found: found.light is not Light.RED):
        text = str(each.light) if each.light is Light.GREEN else f"{each.light}: {each.told}"
        lights.setdefault(each.check, text)
    return lights
