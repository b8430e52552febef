"""Ingest new annotations: bind each point that has no supervoxel or root yet.

scan each table for rows that lack an id -> look them up, range by range
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.plan import Plan, RunKind, StepPlan, TablePlan
from ..kernel.columns import Connection
from ..steps import ingest
from ..storage import annotation_tables
from .actions import unit
from .requests import RunRequest
from .tasks import launch_json


def steps(tables: Iterable[TablePlan]) -> tuple[StepPlan, ...]:
    """The steps of an ingest of these tables."""
    scans = (
        unit("ingest.scan", ingest.Scan(table.name), table.name) for table in tables if table.segmentation is not None
    )
    return StepPlan("scan new annotations", tuple(scans)), StepPlan("look up points")


def plan(connection: Connection, datastack: Datastack, request: RunRequest, as_of: datetime) -> Plan:
    """Ingest one table, or every table of the datastack."""
    tables = annotation_tables.table_plans(connection, datastack)
    if request.table is not None:
        tables = (annotation_tables.table_plan(connection, datastack, request.table),)
    return Plan(RunKind.INGEST, steps(tables), as_of, datastack, tables)


@shared_task(name="workflow:process_new_annotations_workflow", bind=True)
def process_new_annotations_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start an ingest; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.INGEST, request)
