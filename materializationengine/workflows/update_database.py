"""Update database: ingest new annotations, then update root ids, in one run; no version is made."""

from __future__ import annotations

from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.plan import Plan, RunKind
from ..kernel.columns import Connection
from ..storage import annotation_tables
from . import ingest_new_annotations, update_root_ids
from .requests import RunRequest
from .tasks import launch_json


def plan(connection: Connection, datastack: Datastack, request: RunRequest, as_of: datetime) -> Plan:
    """Bring every table of the datastack to one moment."""
    tables = annotation_tables.table_plans(connection, datastack)
    steps = (*ingest_new_annotations.steps(tables), *update_root_ids.steps(tables, request.everything))
    return Plan(RunKind.UPDATE_DATABASE, steps, as_of, datastack, tables)


@shared_task(name="workflow:update_database_workflow", bind=True)
def update_database_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start an update of the live database; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.UPDATE_DATABASE, request)
