"""Bulk upload: `.npy` files, local or in a bucket, become a new table; nothing is seen of it until it is whole.

check and make hidden tables -> load batches -> build keys and indexes -> move the tables into place
"""

from __future__ import annotations

from datetime import datetime

from celery import Task, shared_task

from ..bootstrap import Services
from ..domain import names
from ..domain.datastack import Datastack
from ..domain.errors import BackDated, BadRequest, TableExists
from ..domain.plan import Plan, RunKind, StepPlan, TablePlan, UploadPlan
from ..domain.schemas import Schema, schema
from ..domain.upload import plan_sources
from ..kernel.columns import Connection
from ..steps import bulk_load
from ..storage import annotation_tables
from ..storage.uploads import index_statements
from .actions import unit
from .requests import RunRequest, UploadRequest
from .tasks import launch_json


def plan(
    services: Services,
    connection: Connection,
    run_id: str,
    datastack: Datastack,
    request: RunRequest,
    now: datetime,
) -> Plan:
    """Read the files' headers, match them with the schema, and cut the rows into batches.

    Raises BadUpload, TableExists, BackDated, and what reading the folder raises.
    """
    asked = request.upload
    if asked is None:
        raise BadRequest("a bulk upload names a table, a schema, a path and a column mapping")
    upload = _upload(services, connection, datastack, asked, request.requested_by, now)
    batch = services.settings.upload_batch
    loads = (
        unit("bulk_load.load", bulk_load.Load(start, min(start + batch, upload.rows)), f"rows from {start}")
        for start in range(0, upload.rows, batch)
    )
    indexes = (
        unit("bulk_load.index", bulk_load.Index(statement), label)
        for label, statement in index_statements(run_id, upload)
    )
    steps = (
        StepPlan("prepare", (unit("bulk_load.prepare", bulk_load.Prepare(), upload.table.name),)),
        StepPlan("load", tuple(loads)),
        StepPlan("index", tuple(indexes)),
        StepPlan("publish", (unit("bulk_load.publish", bulk_load.Publish(), upload.table.name),)),
    )
    return Plan(RunKind.BULK_UPLOAD, steps, now, datastack, (upload.table,), upload)


def _upload(
    services: Services,
    connection: Connection,
    datastack: Datastack,
    asked: UploadRequest,
    owner: str,
    now: datetime,
) -> UploadPlan:
    kind = schema(asked.schema)
    table = _table(connection, datastack, asked, kind)
    created = asked.created or now
    back_dated = _check_moment(connection, created, asked.force)
    folder = services.folder(asked.path, datastack.name)
    sources, rows = plan_sources(kind, asked.mapping, folder.list(), folder, keep_roots=asked.roots_as_of is not None)
    return UploadPlan(
        table=table,
        folder=asked.path,
        sources=sources,
        rows=rows,
        description=asked.description or f"{asked.table}, uploaded from {asked.path}",
        owner=owner,
        created=created,
        roots_as_of=asked.roots_as_of,
        back_dated=back_dated,
    )


def _table(connection: Connection, datastack: Datastack, asked: UploadRequest, kind: Schema) -> TablePlan:
    name = names.check_table_name(asked.table, datastack.pcg_table)
    if annotation_tables.is_taken(connection, name):
        raise TableExists(f"table {name!r} exists already in {datastack.aligned_volume}", field="table_name")
    if kind.is_reference:
        if asked.reference_table is None:
            raise BadRequest(f"schema {asked.schema} needs a reference table", field="reference_table")
        annotation_tables.table_plan(connection, datastack, asked.reference_table)
    segmentation = names.segmentation_table(name, datastack.pcg_table) if kind.has_segmentation else None
    resolution = asked.resolution or datastack.viewer_resolution
    return TablePlan(name, asked.schema, resolution, segmentation, asked.reference_table if kind.is_reference else None)


def _check_moment(connection: Connection, created: datetime, force: bool) -> bool:
    """Whether the rows are dated before the newest version, which only `force` allows."""
    newest = annotation_tables.newest_version_moment(connection)
    back_dated = newest is not None and created <= newest
    if back_dated and not force:
        raise BackDated(
            f"rows created {created.isoformat()} would belong to versions that were frozen without them (the "
            f"newest is of {newest.isoformat() if newest else ''}); give a later moment, or force it",
            field="created",
        )
    return back_dated


@shared_task(name="workflow:gcs_bulk_upload_workflow", bind=True)
def gcs_bulk_upload_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a bulk upload; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.BULK_UPLOAD, request)
