"""Cancel, resume and pause: the ledger's side of what a person does to runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..domain.errors import BadRequest, RunInProgress
from ..domain.plan import Plan, RunStatus, StepPlan, from_json
from ..kernel.columns import Connection, DriverError, sqlstate
from . import ledger
from .engines import Cluster
from .live_database import live_databases
from .run_records import find_run
from .sql import sql
from .version_publishing import fail_version

EVERYTHING = "*"
"""The scope of a pause of all datastacks, and of runs that belong to none."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What is paused: `scope` is a datastack, or `*` for all."""

    scope: str
    since: datetime
    paused_by: str
    reason: str
    at_work: int

    def to_json(self) -> dict[str, Any]:
        """The wire form; `at_work` counts units that are still running: 0 says that all is drained."""
        return {
            "scope": self.scope,
            "since": self.since.isoformat(),
            "paused_by": self.paused_by,
            "reason": self.reason,
            "at_work": self.at_work,
        }


def cancel(cluster: Cluster, run_id: str, by: str) -> None:
    """End a run: its open units are never done, statements of running ones are ended, its version fails.

    Raises UnknownRun, BadRequest for a run that is over.
    """
    database = find_run(cluster, run_id).database
    with cluster.connect(database, f"cancel {run_id}") as connection:
        status, datastack, version, _, _ = _held(connection, run_id)
        if status != RunStatus.RUNNING:
            raise BadRequest(f"run {run_id} is over already: {status}", run=run_id)
        reason = f"cancelled by {by}"
        running = [unit for (unit,) in connection.rows(sql("control", "running_units"), run_id)]
        ledger.end_run(connection, run_id, RunStatus.CANCELLED, reason)
        if version is not None:
            fail_version(connection, datastack, version, run_id, reason)
        connection.commit()
        ledger.end_holders(connection, running)
        connection.execute(sql("ledger", "cancel_units"), run_id)
        connection.commit()


def resume(cluster: Cluster, run_id: str) -> str:
    """Let a failed or cancelled run go on at the phase in which it ended; returns its live database.

    A phase is a chain of steps of one kind (ingest, update, freeze): what its units staged went with the run's end,
    so it is done anew, on the same plan, moment and version number. Earlier phases stay done. Raises UnknownRun,
    BadRequest for a run that is not over or succeeded, RunInProgress where another run is in the way.
    """
    database = find_run(cluster, run_id).database
    with cluster.connect(database, f"resume {run_id}") as connection:
        status, datastack, version, position, text = _held(connection, run_id)
        if status not in (RunStatus.FAILED, RunStatus.CANCELLED):
            raise BadRequest(f"run {run_id} is {status}; only a failed or cancelled run is resumed", run=run_id)
        plan = from_json(json.loads(text), Plan)
        begin = phase_begin(plan.steps, position)
        _reopen(connection, run_id, begin)
        if version is not None:
            _reopen_version(connection, datastack, version)
        ledger.reopen_units(connection, run_id, begin, plan)
        connection.commit()
    return database


def phase_begin(steps: Sequence[StepPlan], position: int) -> int:
    """Where the phase of a step begins; a step without planned units belongs to the steps before it."""
    families: list[str] = []
    for step in steps[: position + 1]:
        families.append(_family(step) or (families[-1] if families else ""))
    while position > 0 and families[position - 1] == families[position]:
        position -= 1
    return position


def _family(step: StepPlan) -> str:
    return step.units[0].action.partition(".")[0] if step.units else ""


def _held(connection: Connection, run_id: str) -> tuple[Any, ...]:
    row = connection.one(sql("control", "run_to_control"), run_id)
    if row is None:
        raise BadRequest(f"run {run_id} has just been pruned", run=run_id)
    return row


def _reopen(connection: Connection, run_id: str, begin: int) -> None:
    try:
        connection.execute(sql("control", "resume_run"), run_id, begin)
    except DriverError as error:
        if sqlstate(error) != ledger.UNIQUE_VIOLATION:
            raise
        raise RunInProgress("another run is active on the same aligned volume or table; wait for it") from error
    connection.execute(sql("control", "forget_units"), run_id, begin)


def _reopen_version(connection: Connection, datastack: str, version: int) -> None:
    if connection.one(sql("control", "resume_version"), datastack, version) is None:
        raise BadRequest(f"version {version} of {datastack} is not FAILED any more; retry the run instead")


def pause(cluster: Cluster, scope: str, databases: Sequence[str], by: str, reason: str = "") -> None:
    """Claim nothing new in these live databases; running units finish. Twice is once."""
    for database in databases:
        with cluster.connect(database, "pause") as connection:
            connection.execute(sql("control", "pause"), scope, by, reason)
            connection.commit()


def unpause(cluster: Cluster, scope: str, databases: Sequence[str]) -> bool:
    """Let work go on, and have its messages sent again; False where nothing was paused."""
    found = False
    for database in databases:
        with cluster.connect(database, "unpause") as connection:
            found |= connection.one(sql("control", "unpause"), scope) is not None
            connection.execute(sql("control", "wake"), scope)
            connection.commit()
    return found


def pauses(cluster: Cluster) -> list[Pause]:
    """Every pause, one row a scope, with the units that are still at work in it."""
    found: dict[str, Pause] = {}
    for database in live_databases(cluster):
        with cluster.connect(database, "list pauses") as connection:
            for scope, since, by, reason in connection.rows(sql("control", "pauses")):
                busy = connection.value(sql("control", "at_work"), scope)
                before = found[scope].at_work if scope in found else 0
                found[scope] = Pause(scope, since, by, reason, before + busy)
    return list(found.values())


def note(connection: Connection, run_id: str, request: object, estimate: object) -> None:
    """Keep with a run what was asked and what was expected, as JSON; the caller commits."""
    connection.execute(sql("control", "note"), run_id, json.dumps(request), json.dumps(estimate))


def request_of(cluster: Cluster, run_id: str) -> dict[str, Any]:
    """What was asked for when the run was started. Raises UnknownRun, BadRequest for a run older than this record."""
    with cluster.connect(find_run(cluster, run_id).database, f"retry {run_id}") as connection:
        text = connection.value(sql("control", "request_of"), run_id)
    if text is None:
        raise BadRequest(f"run {run_id} was started by an older release, which kept no request; start it anew")
    request: dict[str, Any] = json.loads(text)
    return request


def hold(connection: Connection, seconds: float) -> None:
    """Keep a connection at work for some seconds, as a long statement would."""
    connection.rows(sql("control", "hold"), seconds)
