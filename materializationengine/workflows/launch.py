"""The one way to start a run: plan it, write it to the ledger, commit, and only then tell the workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from ..bootstrap import Services
from ..domain.datastack import Datastack
from ..domain.errors import BadMoment, BadRequest
from ..domain.plan import Plan, RunKind
from ..domain.records import RunRecord
from ..kernel import moments
from ..kernel.columns import Connection
from ..storage import ledger, run_records, version_publishing
from ..storage.ledger import Message
from ..storage.live_database import ensure
from . import (
    bulk_upload,
    complete_workflow,
    create_frozen_database,
    dummy_workflow,
    incremental,
    ingest_new_annotations,
    lookup_svid,
    missing_roots,
    remove_bad_roots,
    update_database,
    update_root_ids,
)
from .requests import RunRequest

Send = Callable[[Sequence[Message]], None]
"""Hands messages to the broker; a message that is lost is sent again by a sweeper."""


def launch(services: Services, request: RunRequest, send: Send, now: datetime | None = None) -> RunRecord:
    """Start a run and return its record.

    Raises a UserMistake for a request that cannot be carried out, RunInProgress where another run is in the way.
    """
    now = now or moments.now()
    run_id = ledger.new_run_id()
    database = _database(services, request)
    ensure(services.cluster, database)
    with services.cluster.connect(database, f"launch {run_id}") as connection:
        plan = _plan(services, connection, run_id, request, now)
        ledger.open_run(connection, run_id, plan, requested_by=request.requested_by, subject=_subject(plan))
        if plan.freeze is not None and plan.mends is None:
            version = version_publishing.begin_version(connection, plan, plan.freeze.expires_on)
            ledger.set_version(connection, run_id, version)
        connection.commit()
        due = ledger.due(connection, database, resend=services.settings.resend)
    send(due)
    return run_records.find_run(services.cluster, run_id)


def plan_run(services: Services, request: RunRequest, now: datetime | None = None) -> Plan:
    """The plan that `launch` would carry out; nothing is written."""
    database = _database(services, request)
    ensure(services.cluster, database)
    with services.cluster.connect(database, "dry run") as connection:
        return _plan(services, connection, ledger.new_run_id(), request, now or moments.now())


def _database(services: Services, request: RunRequest) -> str:
    if request.kind is RunKind.DUMMY:
        return services.cluster.home
    return _datastack(services, request).aligned_volume


def _datastack(services: Services, request: RunRequest) -> Datastack:
    if not request.datastack:
        raise BadRequest(f"a run of {request.kind} needs a datastack", field="datastack")
    return services.datastacks.get(request.datastack)


def _moment(services: Services, request: RunRequest, now: datetime) -> datetime:
    if request.as_of is None:
        return now - timedelta(seconds=services.settings.as_of_margin)
    if request.as_of > now:
        raise BadMoment(f"{request.as_of.isoformat()} lies ahead; a version is true of a moment that has passed")
    return request.as_of


def _plan(services: Services, connection: Connection, run_id: str, request: RunRequest, now: datetime) -> Plan:
    if request.kind is RunKind.DUMMY:
        return dummy_workflow.plan(request)
    datastack, as_of = _datastack(services, request), _moment(services, request, now)
    days = services.settings.days_to_expire
    match request.kind:
        case RunKind.BULK_UPLOAD:
            return bulk_upload.plan(services, connection, run_id, datastack, request, now)
        case RunKind.INGEST:
            return ingest_new_annotations.plan(connection, datastack, request, as_of)
        case RunKind.UPDATE_ROOTS:
            return update_root_ids.plan(connection, datastack, request, as_of)
        case RunKind.FREEZE:
            return create_frozen_database.plan(connection, datastack, request, as_of, now, days)
        case RunKind.COMPLETE:
            share, threads = services.settings.incremental_share, services.settings.copy_threads
            return complete_workflow.plan(connection, datastack, request, as_of, now, days, share, threads)
        case RunKind.UPDATE_DATABASE:
            return update_database.plan(connection, datastack, request, as_of)
        case RunKind.LOOKUP_SVID:
            return lookup_svid.plan(connection, datastack, request, as_of)
        case RunKind.SPARSE_MISSING_ROOTS:
            return missing_roots.sparse_plan(connection, datastack, request, as_of)
        case RunKind.DENSE_MISSING_ROOTS:
            return missing_roots.dense_plan(connection, datastack, request, as_of)
        case RunKind.REMOVE_BAD_ROOTS:
            return remove_bad_roots.plan(connection, datastack, request, as_of)
        case RunKind.INCREMENTAL:
            threads = services.settings.copy_threads
            return incremental.plan(connection, datastack, request, as_of, now, days, threads)


def _subject(plan: Plan) -> str | None:
    """What excludes a twin of a run that is not exclusive: one upload of a table at a time."""
    return f"upload of {plan.upload.table.name}" if plan.upload is not None else None
