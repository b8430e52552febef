"""Missing root ids: look up the roots of rows that have their supervoxels, and nothing else.

scan for rows without a root -> look them up, range by range, at the table's `last_updated`
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.plan import Plan, RunKind, StepPlan, TablePlan
from ..kernel.columns import Connection
from ..steps import missing_roots
from ..storage import annotation_tables
from .actions import unit
from .ingest_new_annotations import bound_table
from .requests import RunRequest
from .tasks import launch_json


def steps(tables: Iterable[TablePlan], dense: bool) -> tuple[StepPlan, ...]:
    """The steps of a look-up of the missing roots of these tables."""
    scans = (
        unit("missing_roots.scan", missing_roots.Scan(table.name, dense), table.name)
        for table in tables
        if table.segmentation is not None
    )
    return StepPlan("scan missing roots", tuple(scans)), StepPlan("look up missing roots")


def sparse_plan(connection: Connection, datastack: Datastack, request: RunRequest, as_of: datetime) -> Plan:
    """Rows of one table, of which few lack a root."""
    tables = (bound_table(connection, datastack, request),)
    return Plan(RunKind.SPARSE_MISSING_ROOTS, steps(tables, dense=False), as_of, datastack, tables)


def dense_plan(connection: Connection, datastack: Datastack, request: RunRequest, as_of: datetime) -> Plan:
    """Rows of one table or of every table, most of which lack a root."""
    if request.table is not None:
        tables: tuple[TablePlan, ...] = (bound_table(connection, datastack, request),)
    else:
        tables = annotation_tables.table_plans(connection, datastack)
    return Plan(RunKind.DENSE_MISSING_ROOTS, steps(tables, dense=True), as_of, datastack, tables)


@shared_task(name="workflow:process_sparse_missing_roots_workflow", bind=True)
def process_sparse_missing_roots_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a look-up of few missing roots; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.SPARSE_MISSING_ROOTS, request)


@shared_task(name="workflow:process_dense_missing_roots_workflow", bind=True)
def process_dense_missing_roots_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a look-up of many missing roots; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.DENSE_MISSING_ROOTS, request)
