"""Triggers of workflows as CAVE has them (rest_api 1.8). Each starts a run and answers with its record."""

from __future__ import annotations

from typing import Any

from ..domain.errors import BadRequest
from ..domain.plan import RunKind
from ..kernel import moments
from ..storage import version_care
from ..workflows.requests import RunRequest
from . import triggers
from .arguments import MATERIALIZE, Blueprint
from .auth import needs_admin, needs_dataset_admin, user
from .parts import parts
from .run_payloads import UploadTrigger, VirtualBody, upload_request
from .runs import started
from .triggers import Started

blueprint = Blueprint("materialize", __name__, url_prefix=f"{MATERIALIZE}/v2", description="Triggers of workflows")

_RUN = "/materialize/run"


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


@blueprint.route("/bulk_upload/upload/<datastack>/<table>/<segmentation_source>/<description>", methods=["POST"])
@needs_admin
@blueprint.arguments(UploadTrigger)
def bulk_upload(
    body: dict[str, Any], datastack: str, table: str, segmentation_source: str, description: str
) -> Started:
    """Make a table of `.npy` files."""
    own = parts().datastack(datastack).pcg_table
    if segmentation_source != own:
        raise BadRequest(
            f"segmentation_source: datastack {datastack} is bound to {own}, not {segmentation_source}",
            field="segmentation_source",
        )
    upload = upload_request(body, table, description)
    return started(RunRequest(RunKind.BULK_UPLOAD, datastack, upload=upload, requested_by=str(user().id)))


triggers.install(blueprint, _RUN)
