"""Periodic database removal: end expired versions, drop their databases, prune the ledger.

decide and mark -> drop, one unit for each database -> prune
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from celery import Task, shared_task

from ..domain.datastack import Datastack
from ..domain.plan import Plan, RunKind, StepPlan
from ..steps import retire
from .actions import unit
from .requests import RunRequest
from .tasks import launch_json


def plan(databases: Sequence[str], datastack: Datastack | None, request: RunRequest, now: datetime, keep: int) -> Plan:
    """Retire in the given live databases; with a datastack its versions only."""
    name = None if datastack is None else datastack.name
    keep = keep if request.keep is None else request.keep
    decides = (unit("retire.decide", retire.Decide(each, name, keep), each) for each in databases)
    prunes = (unit("retire.prune", retire.Prune(each), each) for each in databases)
    steps = (StepPlan("decide", tuple(decides)), StepPlan("drop databases"), StepPlan("prune", tuple(prunes)))
    return Plan(RunKind.RETIRE, steps, now, datastack)


@shared_task(name="workflow:remove_expired_databases", bind=True)
def remove_expired_databases(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a retirement; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.RETIRE, request)
