"""Runs: started, listed, looked at. The ledger tells; nothing is asked of Celery."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from ..domain.errors import BadRequest, NotAllowed, UnknownRun
from ..domain.plan import RunKind
from ..domain.records import RunRecord
from ..storage import run_records
from ..workflows.launch import launch
from ..workflows.requests import RunRequest
from .arguments import MATERIALIZE, Blueprint
from .auth import needs_login, token, user
from .parts import parts
from .run_payloads import ListOptions, RunBody, run_request

blueprint = Blueprint("runs", __name__, url_prefix=MATERIALIZE, description="Runs of workflows")

ACCEPTED = 202


@blueprint.route("/v3/runs")
@needs_login
@blueprint.arguments(ListOptions, location="query")
def list_runs(options: dict[str, Any]) -> Response:
    """The newest runs of datastacks that the caller may view, newest first."""
    found = run_records.list_runs(parts().services.cluster, options["datastack"], options["limit"])
    return jsonify([record.to_json() for record in found if _may_see(record)])


@blueprint.route("/v3/runs/<run_id>")
@needs_login
def get_run(run_id: str) -> Response:
    """One run with its units."""
    record = run_records.find_run(parts().services.cluster, run_id, units=True)
    if not _may_see(record):
        raise UnknownRun(f"there is no run {run_id!r}")
    return jsonify(record.to_json())


@blueprint.route("/v3/runs", methods=["POST"])
@needs_login
@blueprint.arguments(RunBody)
def start_run(body: dict[str, Any]) -> tuple[Response, int]:
    """Start a run. Look-ups of one table take the permission to edit, all else an administrator."""
    if body["kind"] in (RunKind.INGEST, RunKind.LOOKUP_SVID) and body.get("table") and body.get("datastack"):
        parts().auth.require(token(), "edit", "datastack", body["datastack"])
    else:
        parts().auth.require_admin(token())
    if (body["kind"] == RunKind.BULK_UPLOAD) != (body.get("upload") is not None):
        raise BadRequest("upload: describes a bulk-upload, and nothing else", field="upload")
    return started(run_request(body, str(user().id)))


def started(request: RunRequest) -> tuple[Response, int]:
    """Start a run and answer with its record."""
    known = parts()
    return jsonify(launch(known.services, request, known.celery.send).to_json()), ACCEPTED


def _may_see(record: RunRecord) -> bool:
    if user().admin or record.datastack is None:
        return True
    try:
        parts().auth.require(token(), "view", "datastack", record.datastack)
    except (NotAllowed, BadRequest):
        return False
    return True
