"""Ingest new annotations: bind each point that has no supervoxel or root yet.

scan each table for rows that lack an id -> look them up, range by range -> index tables that were filled bare
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.errors import BadRequest
from ..domain.plan import Plan, RunKind, StepPlan, TablePlan
from ..kernel.columns import Connection
from ..steps import ingest
from ..storage import annotation_tables
from .actions import unit
from .requests import RunRequest
from .tasks import launch_json

GIVEN_BATCH = 10_000
"""Rows in a unit of a look-up of given rows: its ids travel in the ledger."""


def steps(tables: Iterable[TablePlan]) -> tuple[StepPlan, ...]:
    """The steps of an ingest of these tables."""
    scans = (
        unit("ingest.scan", ingest.Scan(table.name), table.name) for table in tables if table.segmentation is not None
    )
    return StepPlan("scan new annotations", tuple(scans)), StepPlan("look up points"), StepPlan("index new tables")


def given_steps(table: TablePlan, ids: Sequence[int], roots: bool = True) -> tuple[StepPlan, ...]:
    """The steps of a look-up of given rows of one table."""
    chunks = [tuple(ids[start : start + GIVEN_BATCH]) for start in range(0, len(ids), GIVEN_BATCH)]
    units = (
        unit("ingest.look_up_given", ingest.LookUpGiven(table.name, chunk, roots), f"{len(chunk)} given rows")
        for chunk in chunks
    )
    prepare = unit("ingest.prepare", ingest.Prepare(table.name), table.name)
    return StepPlan("prepare table", (prepare,)), StepPlan("look up points", tuple(units))


def bound_table(connection: Connection, datastack: Datastack, request: RunRequest) -> TablePlan:
    """The table that a request names, which must have bound points. Raises BadRequest, UnknownTable."""
    if request.table is None:
        raise BadRequest(f"a run of {request.kind} needs a table", field="table")
    table = annotation_tables.table_plan(connection, datastack, request.table)
    if table.segmentation is None:
        raise BadRequest(f"table {table.name} ({table.schema}) has no points to look up", field="table")
    return table


def plan(connection: Connection, datastack: Datastack, request: RunRequest, as_of: datetime) -> Plan:
    """Ingest given rows of one table, one table, or every table of the datastack."""
    if request.annotation_ids is not None:
        table = bound_table(connection, datastack, request)
        return Plan(RunKind.INGEST, given_steps(table, request.annotation_ids), as_of, datastack, (table,))
    tables = annotation_tables.table_plans(connection, datastack)
    if request.table is not None:
        tables = (annotation_tables.table_plan(connection, datastack, request.table),)
    return Plan(RunKind.INGEST, steps(tables), as_of, datastack, tables)


@shared_task(name="workflow:process_new_annotations_workflow", bind=True)
def process_new_annotations_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start an ingest; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.INGEST, request)
