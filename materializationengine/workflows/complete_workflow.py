"""Complete workflow: ingest new annotations, update root ids, create a frozen database, at one moment."""

from __future__ import annotations

from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.plan import Plan, RunKind
from ..kernel.columns import Connection
from ..storage import annotation_tables
from ..storage.incremental_choice import choose_base
from . import create_frozen_database, incremental, ingest_new_annotations, update_root_ids
from .requests import RunRequest
from .tasks import launch_json


def plan(
    connection: Connection,
    datastack: Datastack,
    request: RunRequest,
    as_of: datetime,
    now: datetime,
    days: int,
    share: float = 0.0,
    threads: int = 1,
) -> Plan:
    """The three workflows in a row, as one run.

    The version starts from the newest one where at most `share` of its rows changed (0: never), with `threads`.
    """
    version = create_frozen_database.freeze_plan(connection, datastack, request, as_of, now, days)
    base = choose_base(connection, datastack, version, as_of, now, share, threads)
    living = annotation_tables.table_plans(connection, datastack)
    named = {table.name for table in living}
    # A table removed after the moment is still part of the version, so it is kept current too.
    tables = (*living, *(table for table in version.tables if table.name not in named))
    steps = (
        *ingest_new_annotations.steps(tables),
        *update_root_ids.steps(tables, request.everything),
        *(create_frozen_database.steps() if base is None else incremental.steps()),
    )
    return Plan(RunKind.COMPLETE, steps, as_of, datastack, tables, freeze=version, incremental=base)


@shared_task(name="workflow:run_complete_workflow", bind=True)
def run_complete_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a complete workflow; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.COMPLETE, request)
