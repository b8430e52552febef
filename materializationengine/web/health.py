"""Whether the service lives, is ready, and what it holds. These need no token and read no datastack."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from ..domain.errors import NewerDatabase, StorageUnavailable
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
def health() -> Response:
    """Versions in each live database."""
    return jsonify(count_versions(parts().services.cluster))
