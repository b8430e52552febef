"""Triggers of workflows as CAVE has them (rest_api 1.8). Each starts a run and answers with its record."""

from __future__ import annotations

from typing import Any

from flask import jsonify

from ..domain.datastack import Datastack
from ..domain.errors import BadRequest
from ..domain.plan import RunKind
from ..kernel import moments
from ..storage import run_control, version_care
from ..workflows.launch import resume
from ..workflows.requests import RunRequest
from . import triggers
from .arguments import MATERIALIZE, Blueprint
from .auth import needs_admin, needs_dataset_admin, user
from .parts import parts
from .run_payloads import ChunksTrigger, UploadTrigger, VirtualBody, upload_request
from .runs import ACCEPTED, started
from .triggers import Started

blueprint = Blueprint("materialize", __name__, url_prefix=f"{MATERIALIZE}/v2", description="Triggers of workflows")

_RUN = "/materialize/run"
_UPLOAD = "<datastack>/<table>/<segmentation_source>/<description>"


@blueprint.route("/celery/test/<int:iterations>", methods=["POST"])
@needs_admin
def test_celery(iterations: int) -> Started:
    """Start a dummy run of so many short units in each of its two steps."""
    if not 1 <= iterations <= 1000:
        raise BadRequest("iterations: between 1 and 1000", field="iterations")
    return started(RunRequest(RunKind.DUMMY, seconds=(0.1,) * iterations, requested_by=str(user().id)))


@blueprint.route(f"{_RUN}/create_virtual/datastack/<datastack>", methods=["POST"])
@needs_dataset_admin
@blueprint.arguments(VirtualBody)
def create_virtual(body: dict[str, Any], datastack: str) -> str:
    """Offer some tables of a version under another datastack's name."""
    known = parts()
    volume = known.live.meet(known.datastack(datastack).aligned_volume)
    name = body["virtual_version_name"]
    with known.services.cluster.connect(volume, "create virtual version") as connection:
        wanted = (datastack, body["target_version"], name, body["tables_to_include"])
        version_care.create_virtual(connection, *wanted, moments.now())
        connection.commit()
    return f"{name} created"


@blueprint.route(f"/bulk_upload/upload/{_UPLOAD}", methods=["POST"])
@needs_admin
@blueprint.arguments(UploadTrigger)
def bulk_upload(
    body: dict[str, Any], datastack: str, table: str, segmentation_source: str, description: str
) -> Started:
    """Make a table of `.npy` files."""
    _check_source(datastack, segmentation_source)
    upload = upload_request(body, table, description)
    return started(RunRequest(RunKind.BULK_UPLOAD, datastack, upload=upload, requested_by=str(user().id)))


@blueprint.route(f"/bulk_upload/missing_chunks/{_UPLOAD}", methods=["POST"])
@needs_admin
@blueprint.arguments(ChunksTrigger)
def missing_chunks(
    body: dict[str, Any], datastack: str, table: str, segmentation_source: str, description: str
) -> Started:
    """Let the newest upload of a table that failed go on; the ledger knows what is missing, whatever `chunks` says."""
    volume = _check_source(datastack, segmentation_source).aligned_volume
    known = parts()
    with known.services.cluster.connect(known.live.meet(volume), "missing chunks") as connection:
        run_id = run_control.failed_upload(connection, datastack, table)
    return jsonify(resume(known.services, run_id, known.celery.send).to_json()), ACCEPTED


def _check_source(datastack: str, segmentation_source: str) -> Datastack:
    """The datastack, which must be bound to that chunkedgraph table."""
    found = parts().datastack(datastack)
    if segmentation_source != found.pcg_table:
        raise BadRequest(
            f"segmentation_source: datastack {datastack} is bound to {found.pcg_table}, not {segmentation_source}",
            field="segmentation_source",
        )
    return found


triggers.install(blueprint, _RUN)
