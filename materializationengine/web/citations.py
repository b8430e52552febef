"""Versions as they are cited, in the form that is asked for; they can be cited when their database is gone."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from ..domain import citation as forms
from ..domain.citation import Citation, CitedTable
from ..domain.errors import NotOffered, UnknownVersion
from ..storage import version_registry as registry
from ..storage.content_digest import FACT
from ..storage.models import VersionStatus
from ..storage.version_revisions import newest_revision
from .arguments import MATERIALIZE, Blueprint, generations
from .auth import may_read, needs
from .extensions import live_session
from .parts import parts
from .payloads import CitationOptions

blueprint = Blueprint("citations", __name__, url_prefix=MATERIALIZE, description="Versions as they are cited")

_FORMS = {"text": forms.text, "bibtex": forms.bibtex, "cff": forms.cff}
_TYPES = {
    "text/plain": "text",
    "application/x-bibtex": "bibtex",
    "text/x-bibtex": "bibtex",
    "application/yaml": "cff",
    "application/x-yaml": "cff",
    "text/yaml": "cff",
}
_SENT = {"text": "text/plain", "bibtex": "application/x-bibtex", "cff": "application/yaml"}


@generations(blueprint, "/datastack/<datastack>/version/<int(signed=True):version>/citation", 2, 3)
@needs("view")
@blueprint.arguments(CitationOptions, location="query")
def cite(options: dict[str, Any], datastack: str, version: int) -> Response:
    """How to cite a version: text, BibTeX or CFF, by `format` or Accept."""
    form = options["format"] or _accepted()
    response = Response(_FORMS[form](_citation(datastack, version)), content_type=f"{_SENT[form]}; charset=utf-8")
    response.headers["Vary"] = "Accept"
    return response


def _accepted() -> str:
    if not request.accept_mimetypes:
        return "text"
    best = request.accept_mimetypes.best_match(list(_TYPES))
    if best is None:
        raise NotOffered(f"Accept: there are {', '.join(_TYPES)}", field="Accept")
    return _TYPES[best]


def _citation(datastack: str, number: int) -> Citation:
    stack = parts().datastack(datastack)
    session = live_session(stack.aligned_volume)
    version = registry.version(session, datastack, number)
    if version.status not in (VersionStatus.AVAILABLE, VersionStatus.EXPIRED):
        raise UnknownVersion(f"version {number} of {datastack!r} was never published", field="version")
    tables = registry.tables(session, stack, version)
    software = {str(table.facts["software"]) for table in tables if "software" in table.facts}
    revision = newest_revision(session, version.parent_version or version.id)
    cited = tuple(_cited(table) for table in tables)
    return Citation(datastack, number, version.time_stamp, revision, tuple(sorted(software)), cited)


def _cited(table: registry.VersionTable) -> CitedTable:
    if not may_read(table.annotation):
        return CitedTable(table.name, None, None)
    return CitedTable(table.name, table.row_count, table.facts.get(FACT))
