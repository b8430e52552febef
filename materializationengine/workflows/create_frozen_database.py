"""Create a frozen database: a version, true of one moment, read-only, under a name of its own.

make the build -> copy one snapshot -> index and verify side by side -> build views -> publish in one transaction
"""

from __future__ import annotations

from datetime import datetime, timedelta

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.plan import FreezePlan, Plan, RunKind, StepPlan
from ..kernel.columns import Connection
from ..steps import freeze, views
from ..storage import annotation_tables, version_rebuild
from .actions import unit
from .requests import RunRequest
from .tasks import launch_json


def steps() -> tuple[StepPlan, ...]:
    """The steps of a freeze; the copy adds an index and a verification for each table."""
    return (
        StepPlan("create build", (unit("freeze.create", freeze.Create()),)),
        StepPlan("copy", (unit("freeze.copy", freeze.Copy()),)),
        StepPlan("index and verify"),
        StepPlan("build views", (unit("views.build", views.Build()),)),
        StepPlan("publish", (unit("freeze.publish", freeze.Publish()),)),
    )


def freeze_plan(
    connection: Connection,
    datastack: Datastack,
    request: RunRequest,
    as_of: datetime,
    now: datetime,
    days: int,
) -> FreezePlan:
    """The tables that existed at the moment, and when the version expires: `days` from now, 0 for never."""
    days = days if request.expires_in_days is None else request.expires_in_days
    expires_on = now + timedelta(days=days) if days > 0 else None
    return FreezePlan(annotation_tables.table_plans(connection, datastack, as_of), expires_on, request.split)


def plan(
    connection: Connection,
    datastack: Datastack,
    request: RunRequest,
    as_of: datetime,
    now: datetime,
    days: int,
) -> Plan:
    """Freeze the datastack as it was at a moment."""
    if request.rebuilds is not None:
        return rebuilding_plan(connection, datastack, request.rebuilds)
    version = freeze_plan(connection, datastack, request, as_of, now, days)
    return Plan(RunKind.FREEZE, steps(), as_of, datastack, version.tables, freeze=version)


def rebuilding_plan(connection: Connection, datastack: Datastack, number: int) -> Plan:
    """Make the lost database of a version anew: its moment, its tables, its form. Raises UnknownVersion."""
    lost = version_rebuild.lost_version(connection, datastack.name, number)
    there = annotation_tables.table_plans(connection, datastack, lost.moment)
    tables = tuple(table for table in there if table.name in lost.tables)
    version = FreezePlan(tables, None, lost.split, rebuilds=number)
    return Plan(RunKind.FREEZE, steps(), lost.moment, datastack, tables, freeze=version)


@shared_task(name="workflow:create_versioned_materialization_workflow", bind=True)
def create_versioned_materialization_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a freeze; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.FREEZE, request)
