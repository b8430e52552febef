"""Versions and what they hold. v2 and v3 are rules on the same views."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from .. import __version__
from ..domain.errors import UnknownVersion
from ..storage import version_registry as registry
from ..storage.frozen_counts import row_count
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import check_read, needs, open_to_all
from .encoders.headers import warn
from .extensions import live_session
from .parts import parts
from .payloads import ExpiredOption
from .records import notices, table_record, version_record

blueprint = Blueprint("versions", __name__, url_prefix=MATERIALIZE, description="Frozen versions and their tables")
service = Blueprint("service", __name__, url_prefix="/materialize", description="What runs here")

_VERSION = "/datastack/<datastack>/version/<int(signed=True):version>"
GENERATIONS = [2, 3]


@service.route("/api/versions")
@open_to_all
def api_versions() -> Response:
    """Generations of this API."""
    return jsonify(GENERATIONS)


@service.route("/version")
@open_to_all
def software_version() -> Response:
    """Release of the software."""
    return jsonify(__version__)


@generations(blueprint, "/datastack/<datastack>/versions", 2, 3)
@needs("view")
@blueprint.arguments(ExpiredOption, location="query")
def list_versions(options: dict[str, Any], datastack: str) -> Response:
    """Numbers of the versions that can be queried, ascending."""
    session = live_session(parts().datastack(datastack).aligned_volume)
    return jsonify([found.version for found in registry.versions(session, datastack, **options)])


@generations(blueprint, "/datastack/<datastack>/metadata", 2, 3)
@needs("view")
@blueprint.arguments(ExpiredOption, location="query")
def list_version_records(options: dict[str, Any], datastack: str) -> Response:
    """Records of the versions that can be queried, by number."""
    session = live_session(parts().datastack(datastack).aligned_volume)
    found = registry.versions(session, datastack, **options)
    if not found:
        raise UnknownVersion("No valid versions found", field="datastack")
    return jsonify([version_record(each) for each in found])


@generations(blueprint, _VERSION, 2, 3)
@needs("view")
def get_version(datastack: str, version: int) -> Response:
    """One version, whatever its status."""
    session = live_session(parts().datastack(datastack).aligned_volume)
    return jsonify(version_record(registry.version(session, datastack, version)))


@generations(blueprint, f"{_VERSION}/tables", 2, 3)
@needs("view")
def list_tables(datastack: str, version: int) -> Response:
    """Names of a version's tables."""
    session = live_session(parts().datastack(datastack).aligned_volume)
    return jsonify(registry.table_names(session, registry.version(session, datastack, version)))


@generations(blueprint, f"{_VERSION}/tables/metadata", 3)
@needs("view")
def list_table_records(datastack: str, version: int) -> Response:
    """Records of a version's tables."""
    stack = parts().datastack(datastack)
    session = live_session(stack.aligned_volume)
    tables = registry.tables_of(session, stack, version)
    return jsonify([table_record(table, 3) for table in tables])


@generations(blueprint, f"{_VERSION}/table/<table>/metadata", 2, 3, tell=True)
@needs("view")
def get_table(datastack: str, version: int, table: str, generation: int) -> Response:
    """One table of a version."""
    found = _table(datastack, version, table)[1]
    return warn(jsonify(table_record(found, generation)), notices([found]))


@generations(blueprint, f"{_VERSION}/table/<table>/count", 2, 3)
@needs("view")
def count_rows(datastack: str, version: int, table: str) -> Response:
    """Rows of a table as the version was verified with; null where nobody counted."""
    found, known = _table(datastack, version, table)
    check_read(known.annotation)
    return jsonify(row_count(parts().pool, found, known))


def _table(datastack: str, version: int, table: str) -> tuple[registry.Version, registry.VersionTable]:
    stack = parts().datastack(datastack)
    session = live_session(stack.aligned_volume)
    found = registry.version(session, datastack, version)
    return found, registry.table(session, stack, found, table)
