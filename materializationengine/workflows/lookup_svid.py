"""Look up supervoxels: bind rows just written to their supervoxels, so that a live answer knows where they are.

make the segmentation table -> look up given rows; or scan the table -> look up, range by range

Roots are left to the next ingest or update: this runs after every annotation that somebody writes, and asks no graph.
"""

from __future__ import annotations

from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.plan import Plan, RunKind, StepPlan
from ..kernel.columns import Connection
from ..steps import ingest
from .actions import unit
from .ingest_new_annotations import bound_table, given_steps
from .requests import RunRequest
from .tasks import launch_json


def plan(connection: Connection, datastack: Datastack, request: RunRequest, as_of: datetime) -> Plan:
    """Look up given rows of one table, or all of its rows that lack a supervoxel."""
    table = bound_table(connection, datastack, request)
    if request.annotation_ids is not None:
        steps = given_steps(table, request.annotation_ids, roots=False)
    else:
        scan = unit("ingest.scan", ingest.Scan(table.name, roots=False), table.name)
        steps = StepPlan("scan new annotations", (scan,)), StepPlan("look up points"), StepPlan("index new tables")
    return Plan(RunKind.LOOKUP_SVID, steps, as_of, datastack, (table,))


@shared_task(name="process:ingest_table_svids", bind=True)
def ingest_table_svids(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a look-up of supervoxels; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.LOOKUP_SVID, request)
