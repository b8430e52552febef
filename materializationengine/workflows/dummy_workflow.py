"""Dummy workflow: units that only wait, to see queues, workers and ledger at work."""

from __future__ import annotations

from celery import Task, shared_task

from ..domain.plan import Plan, RunKind, StepPlan
from ..steps import dummy
from .actions import unit
from .requests import RunRequest
from .tasks import launch_json


def plan(request: RunRequest) -> Plan:
    """Two steps of units that wait the given seconds each."""
    waits = tuple(unit("dummy.wait", dummy.Wait(seconds), f"{seconds:g} s") for seconds in request.seconds)
    return Plan(RunKind.DUMMY, (StepPlan("first", waits), StepPlan("second", waits)))


@shared_task(name="process:start_test_workflow", bind=True)
def start_test_workflow(self: Task, request: dict[str, object]) -> dict[str, object]:
    """Start a dummy run; `request` holds the fields of `RunRequest`. Returns the run's record."""
    return launch_json(self, RunKind.DUMMY, request)
