"""Periodic work: a version, or a root update, of each datastack when a schedule says so.

Which slots have come is decided in PostgreSQL (`firing`); what is started is the complete workflow, the update of
the roots, or the removal of expired versions.
"""

from __future__ import annotations

from celery import Task, shared_task

from ..domain.schedule import Deed
from .beat import TASKS, look_at


@shared_task(name=TASKS[Deed.MATERIALIZE], bind=True)
def run_periodic_materialization(self: Task, schedule: str) -> list[str]:
    """Start a complete workflow for each datastack of a schedule whose slot has come. Returns the runs' ids."""
    return look_at(self, schedule)


@shared_task(name=TASKS[Deed.UPDATE], bind=True)
def run_periodic_database_update(self: Task, schedule: str) -> list[str]:
    """Start a root update for each datastack of a schedule whose slot has come. Returns the runs' ids."""
    return look_at(self, schedule)


@shared_task(name=TASKS[Deed.RETIRE], bind=True)
def run_periodic_database_removal(self: Task, schedule: str) -> list[str]:
    """Start the removal of expired versions when a schedule's slot has come. Returns the runs' ids."""
    return look_at(self, schedule)
