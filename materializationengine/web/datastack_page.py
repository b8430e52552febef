"""One plain page for each datastack: its versions, its tables, and how to read them."""

from __future__ import annotations

from typing import Any

from flask import Response, make_response, render_template, request

from ..storage import version_registry as registry
from .arguments import Blueprint
from .auth import needs
from .extensions import live_session
from .parts import parts
from .payloads import SearchOptions
from .records import version_record
from .table_search import found_record, found_tables

blueprint = Blueprint(
    "datastack_page", __name__, url_prefix="/materialize/views", template_folder="templates", description="Pages"
)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
"""Nothing is loaded and no script runs, whatever somebody wrote into a description."""


@blueprint.route("/datastack/<datastack>")
@needs("view")
@blueprint.arguments(SearchOptions, location="query")
def show_datastack(options: dict[str, Any], datastack: str) -> Response:
    """Versions and tables of a datastack, as a page."""
    page = make_response(render_template("datastack.html", **_shown(datastack, options["search"])))
    page.headers["Content-Security-Policy"] = POLICY
    page.headers["X-Content-Type-Options"] = "nosniff"
    return page


def _shown(datastack: str, words: str) -> dict[str, Any]:
    session = live_session(parts().datastack(datastack).aligned_volume)
    versions = [version_record(each) for each in registry.versions(session, datastack, expired=True)]
    tables = [found_record(table) for table in found_tables(datastack, words)]
    newest = max((each["version"] for each in versions if each["valid"]), default=None)
    frozen = next((table["table_name"] for table in tables if table["version"] == newest), None)
    return {
        "datastack": datastack,
        "server": request.host_url.rstrip("/"),
        "words": words,
        "versions": versions[::-1],
        "pinned": registry.pinned(session, datastack),
        "tables": tables,
        "newest": newest,
        "example": frozen if newest is not None else None,
    }


blueprint.add_app_template_filter(repr, "pythonic")
