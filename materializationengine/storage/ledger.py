"""The ledger: the truth about runs and their units, beside the data that they change.

A unit goes WAITING -> READY -> RUNNING -> DONE. Messages only say "unit N is READY": losing, doubling or
delaying one changes nothing. A worker holds the unit's advisory lock while it works, which the server drops with
the worker's connection, so a dead worker is seen at once. The attempt number fences: who was taken over
cannot finish.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from ..domain.errors import NewerWork, RunInProgress, StaleUnit
from ..domain.plan import Plan, RunStatus, UnitSpec, from_json, to_ledger
from ..kernel import moments
from ..kernel.columns import Connection, DriverError, sqlstate
from .live_database import known_layouts
from .sql import sql

_LOCK_SPACE = 0x6D61 << 48
"""Advisory locks of units live above this key, out of the way of anybody else's."""

UNIQUE_VIOLATION = "23505"
"""SQLSTATE: another run has the place that this one asks for."""

WINDOW = 16
"""Units of one run that are sent or at work at a time, where nothing else is said."""

SHORT = 4
"""A step with so few units open overtakes what longer ones have sent: a person may wait for it."""


@dataclass(frozen=True, slots=True)
class ClaimedUnit:
    """A unit in the hands of this worker, with the plan of its run."""

    id: int
    run_id: str
    token: int
    position: int
    spec: UnitSpec
    attempt: int
    plan: Plan
    version: int | None
    request_id: str = ""
    """The request that asked for the run."""


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker carries: a unit of a live database, and the action that decides its queue.

    The ids of its run and request travel in headers, for logs; the ledger says them again to whoever claims the unit.
    """

    database: str
    unit: int
    action: str
    run_id: str = ""
    request_id: str = ""
    urgent: bool = False
    """Whether it overtakes messages on its queue that are not: see `units_to_send`."""


def new_run_id() -> str:
    """Twelve hexadecimal digits: unique over databases, short enough to read out."""
    return secrets.token_hex(6)


def open_run(connection: Connection, run_id: str, plan: Plan, *, requested_by: str, subject: str | None) -> None:
    """Write a run and all units that are known beforehand; the caller commits, then sends the messages.

    Raises RunInProgress where the plan, or its subject (one table), excludes another active run.
    """
    as_of = None if plan.as_of is None else moments.naive(plan.as_of)
    stack = None if plan.datastack is None else plan.datastack.name
    plan_json = json.dumps(to_ledger(plan))
    try:
        connection.execute(
            sql("ledger", "insert_run"),
            *(run_id, str(plan.kind), stack, subject, as_of, plan.exclusive, plan_json, requested_by),
        )
    except DriverError as error:
        if sqlstate(error) != UNIQUE_VIOLATION:
            raise
        connection.rollback()
        raise _in_progress(connection, plan, subject) from error
    for position, step in enumerate(plan.steps):
        insert_units(connection, run_id, position, step.units)
    open_next(connection, run_id, -1, len(plan.steps))


def set_version(connection: Connection, run_id: str, version: int) -> None:
    """Note the number of the version that a run makes."""
    connection.execute("UPDATE matengine.run SET version = $2::int WHERE id = $1", run_id, version)


def _in_progress(connection: Connection, plan: Plan, subject: str | None) -> RunInProgress:
    found = connection.one(sql("ledger", "active_exclusive")) if plan.exclusive else None
    if found is None and subject is not None:
        found = connection.one(sql("ledger", "active_subject"), subject)
    if found is None:
        return RunInProgress("another run has just ended; try again")
    run_id, kind, datastack = found
    return RunInProgress(
        f"run {run_id} ({kind} of {datastack}) is active; wait for it, see /materialize/api/v3/runs/{run_id}",
        run=run_id,
    )


def insert_units(connection: Connection, run_id: str, position: int, units: Iterable[UnitSpec]) -> None:
    """Write units of a step as WAITING; the caller commits."""
    rows = [{"action": unit.action, "args": unit.args, "label": unit.label} for unit in units]
    if rows:
        connection.execute(sql("ledger", "insert_units"), run_id, position, "WAITING", json.dumps(rows))


def open_next(connection: Connection, run_id: str, position: int, steps: int) -> bool:
    """Open the next step that has units, or end the run; the run's row is locked by the caller's transaction."""
    for following in range(position + 1, steps):
        if connection.value(sql("ledger", "waiting_of_step"), run_id, following):
            connection.execute(sql("ledger", "advance_run"), run_id, following)
            connection.rows(sql("ledger", "ready_units"), run_id, following)
            return True
    connection.execute(sql("ledger", "succeed_run"), run_id)
    return False


def claim(connection: Connection, unit: int, *, owner: str, lease: float) -> ClaimedUnit | None:
    """Take a unit, and commit that; None where another worker has it or nothing is left to do.

    None as well where a newer release upgraded the database: its workers will do it.

    Raises NewerWork, the unit given back, for a run that a newer release planned.
    """
    if not connection.value("SELECT pg_try_advisory_lock($1::bigint)", _LOCK_SPACE + unit):
        connection.rollback()
        return None
    row = connection.one(sql("ledger", "claim_unit"), unit, owner, lease, list(known_layouts()))
    connection.commit()
    if row is None:
        return None
    unit_id, run_id, position, action, args, attempt, label, plan, token, version, request = row
    spec = UnitSpec(action, json.loads(args), label)
    try:
        known = from_json(json.loads(plan), Plan)
    except NewerWork:
        leave(connection, unit_id, attempt)
        raise
    return ClaimedUnit(unit_id, run_id, token, position, spec, attempt, known, version, request)


def leave(connection: Connection, unit: int, attempt: int) -> None:
    """Give a unit back that this release does not understand, as if it had never been claimed; commits."""
    connection.rollback()
    connection.execute(sql("ledger", "leave_unit"), unit, attempt)
    connection.commit()


def fence(connection: Connection, unit: ClaimedUnit) -> None:
    """Hold the unit's row for this transaction. Raises StaleUnit where the unit is no longer ours."""
    if connection.one(sql("ledger", "fence_unit"), unit.id, unit.attempt) is None:
        raise StaleUnit


def finish(
    connection: Connection, unit: ClaimedUnit, report: dict[str, object], spawned: Iterable[UnitSpec] = ()
) -> None:
    """Close the unit in the transaction that carries its rows; the last one of a step opens the next step.

    `spawned` units join the next step. The caller commits. Raises StaleUnit.
    """
    if connection.one(sql("ledger", "finish_unit"), unit.id, unit.attempt, json.dumps(report)) is None:
        raise StaleUnit
    run = connection.one(sql("ledger", "lock_run"), unit.run_id)
    if run is None:
        raise StaleUnit
    _, steps = run
    insert_units(connection, unit.run_id, unit.position + 1, spawned)
    if not connection.value(sql("ledger", "unfinished_of_step"), unit.run_id, unit.position):
        open_next(connection, unit.run_id, unit.position, steps)


def retry(connection: Connection, unit: ClaimedUnit, error: str, *, delay: float) -> None:
    """Give the unit back, to be tried again after `delay` seconds, doubled for each failure before; commits."""
    connection.rows(sql("ledger", "retry_unit"), unit.id, unit.attempt, error, delay)
    connection.commit()


def fail(connection: Connection, unit: ClaimedUnit, error: str) -> bool:
    """Give the unit and with it the run up; the caller commits. False where the unit was not ours any more."""
    if connection.one(sql("ledger", "fail_unit"), unit.id, unit.attempt, error) is None:
        return False
    return end_run(connection, unit.run_id, RunStatus.FAILED, error)


def end_run(connection: Connection, run_id: str, status: RunStatus, error: str | None) -> bool:
    """Mark a run as over and its open units as not to be done; the caller commits."""
    if connection.one(sql("ledger", "end_run"), run_id, str(status), error) is None:
        return False
    connection.execute(sql("ledger", "cancel_units"), run_id)
    return True


def end_holders(connection: Connection, units: Iterable[int]) -> None:
    """End the connections, and with them the statements, of whoever works on these units; commits."""
    for unit in units:
        connection.rows(sql("ledger", "end_holder"), _LOCK_SPACE + unit)
    connection.commit()


def failures(connection: Connection, unit: ClaimedUnit) -> int:
    """How often the unit has failed before."""
    return int(connection.value("SELECT failures FROM matengine.unit WHERE id = $1::bigint", unit.id))


def sweep(connection: Connection, database: str, *, resend: float, window: int = WINDOW) -> list[Message]:
    """Find lost work and say which units to send again; commits.

    Lost is a RUNNING unit whose advisory lock nobody holds, one past its lease (whose holder is ended first),
    and a READY unit whose message was sent long ago (see `due`).
    """
    for (unit,) in connection.rows(sql("ledger", "overdue_owners")):
        connection.rows(sql("ledger", "end_holder"), _LOCK_SPACE + unit)
    connection.rows(sql("ledger", "free_lost_units"), _LOCK_SPACE)
    connection.execute(sql("ledger", "cancel_left"))
    connection.execute(sql("ledger", "forget_leases"))
    return due(connection, database, resend=resend, window=window)


def due(connection: Connection, database: str, *, resend: float, window: int = WINDOW) -> list[Message]:
    """READY units whose message was not sent, or was sent `resend` seconds ago or longer; commits.

    A `resend` of 0 sends again whatever is READY, as a worker does that starts: nobody may have been there to hear.

    Of one run at most `window` units are sent or at work at a time; units of a paused datastack wait.
    """
    found = connection.rows(sql("ledger", "units_to_send"), resend, window, SHORT)
    connection.commit()
    return [Message(database, *row) for row in found]
