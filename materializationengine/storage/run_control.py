"""Cancel and pause: the ledger's side of what a person does to runs; `resumption` is its third part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..domain.errors import BadRequest, TableExists, UnknownRun
from ..domain.plan import RunStatus
from ..kernel.columns import Connection
from . import ledger
from .annotation_tables import is_taken
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
        status, datastack, version = _held(connection, run_id)
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


def _held(connection: Connection, run_id: str) -> tuple[Any, ...]:
    row = connection.one(sql("control", "run_to_control"), run_id)
    if row is None:
        raise BadRequest(f"run {run_id} has just been pruned", run=run_id)
    return row


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


def failed_upload(connection: Connection, datastack: str, table: str) -> str:
    """The newest upload of a table that failed or was cancelled, and that nothing has made good since.

    Raises TableExists where the table is there, whole; UnknownRun where no upload of it ended early.
    """
    if is_taken(connection, table):
        raise TableExists(f"table {table!r} is there; an upload is seen when it is whole", field="table")
    row = connection.one(sql("control", "failed_upload"), datastack, subject_of_upload(table))
    if row is None:
        raise UnknownRun(f"no upload of {table!r} to {datastack} ended early; start one", field="table")
    return str(row[0])


def subject_of_upload(table: str) -> str:
    """What excludes a second upload of the same table."""
    return f"upload of {table}"
