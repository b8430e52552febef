"""What the tasks of this floor share: each starts a run, and the ledger does the rest."""

from __future__ import annotations

from typing import Any

from celery import Task

from ..domain.plan import RunKind


def launch_json(task: Task, kind: RunKind, request: dict[str, object]) -> dict[str, Any]:
    """Start a run from a message's fields, and return its record; called by every workflow's task."""
    record: dict[str, Any] = task.app.launch({**request, "kind": str(kind)}).to_json()
    return record
