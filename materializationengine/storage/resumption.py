"""Resume: a failed or cancelled run goes on, and units that are done stay done as long as their outcome is there."""

from __future__ import annotations

import json
from typing import Any

from ..domain.errors import BadRequest, RunInProgress
from ..domain.names import build_database
from ..domain.plan import Plan, RunStatus, from_json
from ..domain.resumption import Place, UnitGroup, lost
from ..kernel.columns import Connection, DriverError, sqlstate
from . import incremental_base, ledger, version_revisions
from .engines import Cluster
from .frozen_build import end_sessions
from .run_records import find_run
from .sql import quote, sql


def resume(cluster: Cluster, run_id: str) -> str:
    """Let a failed or cancelled run go on, on the same plan, moment and version number; returns its live database.

    What its units staged and built is used where it is still there; where the janitor was faster, these units are done
    again. Units that wrote to live tables stay done. Raises UnknownRun, BadRequest for a run that is not over or
    succeeded, RunInProgress where another run is in the way, VersionNotAvailable where the base has gone.
    """
    database = find_run(cluster, run_id).database
    with cluster.connect(database, "resume") as connection:
        status, datastack, version, token, text = _held(connection, run_id)
        if status not in (RunStatus.FAILED, RunStatus.CANCELLED):
            raise BadRequest(f"run {run_id} is {status}; only a failed or cancelled run is resumed", run=run_id)
        plan = from_json(json.loads(text), Plan)
        _check_versions(connection, plan)
        _reopen_run(connection, run_id)
        if version is not None:
            _reopen_version(connection, datastack, version)
        _reopen_units(connection, run_id, plan, _gone(cluster, connection, run_id, token))
        connection.commit()
    return database


def _held(connection: Connection, run_id: str) -> tuple[Any, ...]:
    row = connection.one(sql("control", "run_to_resume"), run_id)
    if row is None:
        raise BadRequest(f"run {run_id} has just been pruned", run=run_id)
    return row


def _check_versions(connection: Connection, plan: Plan) -> None:
    """Versions that the run reads must be there; they are held as at its launch."""
    if plan.incremental is not None:
        incremental_base.base_version(connection, plan.stack, plan.base.base, plan.moment)
    if plan.mends is not None:
        version_revisions.published(connection, plan.stack, plan.mends)


def _reopen_run(connection: Connection, run_id: str) -> None:
    try:
        connection.execute(sql("control", "resume_run"), run_id)
    except DriverError as error:
        if sqlstate(error) != ledger.UNIQUE_VIOLATION:
            raise
        raise RunInProgress("another run is active on the same aligned volume or table; wait for it") from error


def _reopen_version(connection: Connection, datastack: str, version: int) -> None:
    if connection.one(sql("control", "resume_version"), datastack, version) is None:
        raise BadRequest(f"version {version} of {datastack} is not FAILED any more; retry the run instead")


def _gone(cluster: Cluster, connection: Connection, run_id: str, token: int) -> set[Place]:
    """The places that are not there any more; a build that is gets the name of the new token.

    Its sessions are ended first, so that nothing of the former attempt writes to it.
    """
    gone: set[Place] = set()
    if not connection.value(sql("control", "has_stage"), f"stage\\_{run_id}\\_%"):
        gone.add(Place.STAGE)
    build = build_database(run_id, token)
    if connection.one(sql("catalog", "database_exists"), build) is None:
        return gone | {Place.BUILD}
    end_sessions(cluster, build)
    connection.execute(f"ALTER DATABASE {quote(build)} RENAME TO {quote(build_database(run_id, token + 1))}")
    return gone


def _reopen_units(connection: Connection, run_id: str, plan: Plan, gone: set[Place]) -> None:
    groups = [UnitGroup(*row) for row in connection.rows(sql("control", "unit_groups"), run_id)]
    again = lost(groups, gone)
    for group in again:
        connection.execute(sql("control", "forget_units"), run_id, group.position, group.action)
        planned = (unit for unit in plan.steps[group.position].units if unit.action == group.action)
        ledger.insert_units(connection, run_id, group.position, planned)
    connection.execute(sql("control", "renew_units"), run_id)
    ledger.open_next(connection, run_id, -1, len(plan.steps))
