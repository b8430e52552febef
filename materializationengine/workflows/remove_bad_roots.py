"""Remove bad root ids: take given roots away from one table; the next ingest or update looks them up again."""

from __future__ import annotations

from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.errors import BadRequest
from ..domain.plan import Plan, RunKind, StepPlan
from ..kernel.columns import Connection
from ..steps import bad_roots
from .actions import unit
from .ingest_new_annotations import bound_table
from .requests import RunRequest
from .tasks import launch_json


def plan(connection: Connection, datastack: Datastack, request: RunRequest, as_of: datetime) -> Plan:
    """Take the roots of the request away from its table. Raises BadRequest where it names none."""
    table = bound_table(connection, datastack, request)
    if not request.bad_roots:
        raise BadRequest("bad_roots: name at least one root id", field="bad_roots")
    remove = unit("bad_roots.remove", bad_roots.Remove(table.name, tuple(request.bad_roots)), table.name)
    return Plan(RunKind.REMOVE_BAD_ROOTS, (StepPlan("remove roots", (remove,)),), as_of, datastack, (table,))


@shared_task(name="workflow:fix_root_id_workflow", bind=True)
def fix_root_id_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a removal of bad roots; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.REMOVE_BAD_ROOTS, request)
