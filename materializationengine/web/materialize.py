"""Triggers of workflows as CAVE has them (rest_api 1.8). Each starts a run and answers with its record."""

from __future__ import annotations

from typing import Any

from flask import Response

from ..domain.errors import BadRequest
from ..domain.plan import RunKind
from ..kernel import moments
from ..storage import annotation_catalog as catalog
from ..storage import version_care
from ..workflows.requests import RunRequest
from .arguments import MATERIALIZE, Blueprint
from .auth import check_write, needs, needs_admin, needs_login, token, user
from .extensions import live_session
from .parts import parts
from .run_payloads import (
    BadRootsTrigger,
    IdsTrigger,
    TriggerOptions,
    UploadTrigger,
    VirtualBody,
    upload_request,
)
from .runs import started

blueprint = Blueprint("materialize", __name__, url_prefix=f"{MATERIALIZE}/v2", description="Triggers of workflows")

_RUN = "/materialize/run"
Started = tuple[Response, int]


@blueprint.route("/celery/test/<int:iterations>", methods=["POST"])
@needs_admin
def test_celery(iterations: int) -> Started:
    """Start a dummy run of so many short units in each of its two steps."""
    if not 1 <= iterations <= 1000:
        raise BadRequest("iterations: between 1 and 1000", field="iterations")
    return started(RunRequest(RunKind.DUMMY, seconds=(0.1,) * iterations, requested_by=str(user().id)))


@blueprint.route(f"{_RUN}/ingest_annotations/datastack/<datastack>", methods=["POST"])
@needs_admin
@blueprint.arguments(TriggerOptions, location="query")
@blueprint.arguments(TriggerOptions)
def ingest_all(options: dict[str, Any], body: dict[str, Any], datastack: str) -> Started:
    """Look up the supervoxels and roots of new annotations in every table."""
    return _start(RunKind.INGEST, datastack, options | body)


@blueprint.route(f"{_RUN}/ingest_annotations/datastack/<datastack>/<table>", methods=["POST"])
@needs("edit")
@blueprint.arguments(TriggerOptions, location="query")
@blueprint.arguments(TriggerOptions)
def ingest_table(options: dict[str, Any], body: dict[str, Any], datastack: str, table: str) -> Started:
    """Look up the supervoxels and roots of new annotations in one table."""
    check_write(catalog.find(live_session(parts().datastack(datastack).aligned_volume), table))
    return _start(RunKind.INGEST, datastack, options | body, table)


@blueprint.route(f"{_RUN}/update_roots/datastack/<datastack>", methods=["POST"])
@needs_admin
@blueprint.arguments(TriggerOptions, location="query")
@blueprint.arguments(TriggerOptions)
def update_roots(options: dict[str, Any], body: dict[str, Any], datastack: str) -> Started:
    """Bring the roots of every table to one moment."""
    return _start(RunKind.UPDATE_ROOTS, datastack, options | body)


@blueprint.route(f"{_RUN}/create_frozen/datastack/<datastack>", methods=["POST"])
@needs_admin
@blueprint.arguments(TriggerOptions, location="query")
@blueprint.arguments(TriggerOptions)
def create_frozen(options: dict[str, Any], body: dict[str, Any], datastack: str) -> Started:
    """Freeze a version."""
    return _start(RunKind.FREEZE, datastack, options | body)


@blueprint.route(f"{_RUN}/complete_workflow/datastack/<datastack>", methods=["POST"])
@needs_admin
@blueprint.arguments(TriggerOptions, location="query")
@blueprint.arguments(TriggerOptions)
def complete_workflow(options: dict[str, Any], body: dict[str, Any], datastack: str) -> Started:
    """Ingest, update roots, and freeze a version."""
    return _start(RunKind.COMPLETE, datastack, options | body)


@blueprint.route(f"{_RUN}/lookup_svid/datastack/<datastack>/<table>", methods=["POST"])
@needs("edit")
@blueprint.arguments(IdsTrigger)
def lookup_svid(body: dict[str, Any], datastack: str, table: str) -> Started:
    """Look up the supervoxels of new annotations, of the given ones or of all."""
    catalog.find(live_session(parts().datastack(datastack).aligned_volume), table)
    return _start(RunKind.LOOKUP_SVID, datastack, body, table)


@blueprint.route(f"{_RUN}/lookup_root_ids/datastack/<datastack>", methods=["POST"])
@needs_admin
@blueprint.arguments(TriggerOptions, location="query")
@blueprint.arguments(TriggerOptions)
def lookup_root_ids(options: dict[str, Any], body: dict[str, Any], datastack: str) -> Started:
    """Look up the missing roots of every table, most rows of which lack one."""
    return _start(RunKind.DENSE_MISSING_ROOTS, datastack, options | body)


@blueprint.route(f"{_RUN}/sparse_lookup_root_ids/datastack/<datastack>/table/<table>", methods=["POST"])
@needs_admin
@blueprint.arguments(TriggerOptions, location="query")
@blueprint.arguments(TriggerOptions)
def sparse_lookup_root_ids(options: dict[str, Any], body: dict[str, Any], datastack: str, table: str) -> Started:
    """Look up the missing roots of one table, few rows of which lack one."""
    return _start(RunKind.SPARSE_MISSING_ROOTS, datastack, options | body, table)


@blueprint.route(f"{_RUN}/remove_bad_root_ids/datastack/<datastack>/table/<table>", methods=["POST"])
@needs_admin
@blueprint.arguments(BadRootsTrigger)
def remove_bad_root_ids(body: dict[str, Any], datastack: str, table: str) -> Started:
    """Take the given roots away from one table."""
    return _start(RunKind.REMOVE_BAD_ROOTS, datastack, body, table)


@blueprint.route(f"{_RUN}/update_database/datastack/<datastack>", methods=["POST"])
@needs_admin
@blueprint.arguments(TriggerOptions, location="query")
@blueprint.arguments(TriggerOptions)
def update_database(options: dict[str, Any], body: dict[str, Any], datastack: str) -> Started:
    """Ingest new annotations, and bring the roots of every table to one moment."""
    return _start(RunKind.UPDATE_DATABASE, datastack, options | body)


@blueprint.route(f"{_RUN}/incremental/datastack/<datastack>/version/<int:base_version>", methods=["POST"])
@needs_admin
@blueprint.arguments(TriggerOptions, location="query")
@blueprint.arguments(TriggerOptions)
def incremental(options: dict[str, Any], body: dict[str, Any], datastack: str, base_version: int) -> Started:
    """Make a version from a base version and what changed since."""
    return _start(RunKind.INCREMENTAL, datastack, options | body, base_version=base_version)


@blueprint.route(f"{_RUN}/create_virtual/datastack/<datastack>", methods=["POST"])
@needs_login
@blueprint.arguments(VirtualBody)
def create_virtual(body: dict[str, Any], datastack: str) -> str:
    """Offer some tables of a version under another datastack's name; takes an administrator of the dataset."""
    known = parts()
    known.auth.require_dataset_admin(token(), "datastack", datastack)
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


def _start(
    kind: RunKind,
    datastack: str,
    options: dict[str, Any],
    table: str | None = None,
    base_version: int | None = None,
) -> Started:
    return started(
        RunRequest(
            kind,
            datastack,
            as_of=options.get("timestamp"),
            table=table,
            expires_in_days=options.get("days_to_expire"),
            split=options.get("merge_tables") is False,
            everything=bool(options.get("lookup_all_root_ids")),
            annotation_ids=options.get("annotation_ids"),
            bad_roots=tuple(options.get("bad_roots") or ()),
            requested_by=str(user().id),
            base_version=base_version,
        )
    )
