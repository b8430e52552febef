"""Runs: started, listed, looked at. The ledger tells; nothing is asked of Celery."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response, jsonify

from ..domain.errors import BadRequest, NotAllowed, UnknownRun
from ..domain.plan import RunKind
from ..domain.records import RunRecord
from ..storage import annotation_catalog as catalog
from ..storage import run_control, run_records, schedules
from ..storage.ledger import new_run_id
from ..workflows.launch import launch, pause_scope, resume, retry, wake
from ..workflows.requests import RunRequest
from .arguments import MATERIALIZE, Blueprint
from .auth import check_write, needs_admin, needs_login, token, user
from .extensions import live_session
from .once import given_key, told
from .parts import parts
from .run_payloads import ListOptions, PauseBody, RunBody, run_request

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
    """Start a run. Look-ups of one table take who may write to it, all else an administrator."""
    _let_start(body)
    if (body["kind"] == RunKind.BULK_UPLOAD) != (body.get("upload") is not None):
        raise BadRequest("upload: describes a bulk-upload, and nothing else", field="upload")
    return started(run_request(body, str(user().id)))


@blueprint.route("/v3/runs/<run_id>/<any(cancel, retry, resume):deed>", methods=["POST"])
@needs_admin
def control_run(run_id: str, deed: str) -> tuple[Response, int]:
    """Cancel a run, retry its request in a new run, or resume it from the units that are done. Answers with the run."""
    known = parts()
    services, send, by = known.services, known.celery.send, f"user {user().id}"
    if deed == "cancel":
        run_control.cancel(services.cluster, run_id, by)
        return jsonify(run_records.find_run(services.cluster, run_id).to_json()), HTTPStatus.OK
    record = resume(services, run_id, send) if deed == "resume" else retry(services, run_id, send, by, given_key())
    return jsonify(record.to_json()), ACCEPTED


@blueprint.route("/v3/runs/pauses")
@needs_login
def list_pauses() -> Response:
    """What is paused, and how many units are still at work in it."""
    return _pauses()


@blueprint.route("/v3/runs/pause", methods=["POST"])
@needs_admin
@blueprint.arguments(PauseBody)
def pause(body: dict[str, Any]) -> Response:
    """Claim nothing new, of one datastack or of all; running units finish."""
    services = parts().services
    scope, databases = pause_scope(services, body["datastack"])
    run_control.pause(services.cluster, scope, databases, f"user {user().id}", body["reason"])
    return _pauses()


@blueprint.route("/v3/runs/unpause", methods=["POST"])
@needs_admin
@blueprint.arguments(PauseBody)
def unpause(body: dict[str, Any]) -> Response:
    """Let work go on."""
    known = parts()
    scope, databases = pause_scope(known.services, body["datastack"])
    run_control.unpause(known.services.cluster, scope, databases)
    wake(known.services, databases, known.celery.send)
    return _pauses()


@blueprint.route("/v3/runs/schedules")
@needs_admin
@blueprint.arguments(ListOptions, location="query")
def list_firings(options: dict[str, Any]) -> Response:
    """What schedules fired, newest first, and why they skipped."""
    known = parts()
    home = known.live.meet(known.services.cluster.home)
    with known.services.cluster.connect(home, "list firings") as connection:
        return jsonify([each.to_json() for each in schedules.firings(connection, None, options["limit"])])


def _pauses() -> Response:
    return jsonify([each.to_json() for each in run_control.pauses(parts().services.cluster)])


def started(request: RunRequest) -> tuple[Response, int]:
    """Start a run and answer with its record."""
    known = parts()
    key, run_id = given_key(), new_run_id()
    record = launch(known.services, request, known.celery.send, run_id=run_id, key=key)
    told(key is not None and record.id != run_id)
    return jsonify(record.to_json()), ACCEPTED


def _let_start(body: dict[str, Any]) -> None:
    """Raises NotAllowed, TableDenied, UnknownTable."""
    stack, table = body.get("datastack"), body.get("table")
    if body["kind"] not in (RunKind.INGEST, RunKind.LOOKUP_SVID) or not table or not stack:
        parts().auth.require_admin(token())
        return
    parts().auth.require(token(), "edit", "datastack", stack)
    check_write(catalog.find(live_session(parts().datastack(stack).aligned_volume), table))


def _may_see(record: RunRecord) -> bool:
    if user().admin or record.datastack is None:
        return True
    try:
        parts().auth.require(token(), "view", "datastack", record.datastack)
    except (NotAllowed, BadRequest):
        return False
    return True
