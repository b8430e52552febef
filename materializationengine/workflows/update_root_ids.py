"""Update root ids: bring the roots of every table from its `last_updated` to one moment.

ask which roots expired -> look up the supervoxels that hold one -> apply, table by table
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.plan import Plan, RunKind, StepPlan, TablePlan
from ..kernel.columns import Connection
from ..steps import update_roots
from ..storage import annotation_tables
from .actions import unit
from .requests import RunRequest
from .tasks import launch_json


def steps(tables: Iterable[TablePlan], everything: bool = False) -> tuple[StepPlan, ...]:
    """The steps of a root update of these tables; `everything` asks every supervoxel, not only the expired."""
    applied = (
        unit("update_roots.apply", update_roots.Apply(table.name, everything), table.name)
        for table in tables
        if table.segmentation is not None
    )
    return (
        StepPlan("scan expired roots", (unit("update_roots.scan", update_roots.Scan(everything)),)),
        StepPlan("look up roots"),
        StepPlan("apply roots", tuple(applied)),
    )


def plan(connection: Connection, datastack: Datastack, request: RunRequest, as_of: datetime) -> Plan:
    """Update every table of the datastack."""
    tables = annotation_tables.table_plans(connection, datastack)
    return Plan(RunKind.UPDATE_ROOTS, steps(tables, request.everything), as_of, datastack, tables)


@shared_task(name="workflow:update_root_ids_task", bind=True)
def update_root_ids_task(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a root update; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.UPDATE_ROOTS, request)
