"""The one way to start a run: plan it, write it to the ledger, commit, and only then tell the workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ..bootstrap import Services
from ..domain.datastack import Datastack
from ..domain.errors import BadMoment, BadRequest
from ..domain.estimate import GB, Estimate, check_room, expect
from ..domain.plan import Plan, RunKind, from_json, to_json, to_ledger
from ..domain.records import RunRecord
from ..kernel import moments, trace
from ..kernel.columns import Connection
from ..storage import (
    estimates,
    ledger,
    resumption,
    run_control,
    run_records,
    version_care,
    version_publishing,
    version_rebuild,
)
from ..storage.idempotency import Key, once
from ..storage.ledger import Message
from ..storage.live_database import ensure, live_databases
from . import (
    bulk_upload,
    complete_workflow,
    create_frozen_database,
    dummy_workflow,
    incremental,
    ingest_new_annotations,
    lookup_svid,
    missing_roots,
    periodic_database_removal,
    remove_bad_roots,
    update_database,
    update_root_ids,
)
from .requests import RunRequest

Send = Callable[[Sequence[Message]], None]
"""Hands messages to the broker; a message that is lost is sent again by a sweeper."""


def launch(
    services: Services,
    request: RunRequest,
    send: Send,
    now: datetime | None = None,
    run_id: str | None = None,
    key: Key | None = None,
) -> RunRecord:
    """Start a run and return its record. A `run_id` of the caller's own cannot be started twice.

    A `key` that came before with the same request gives the run that was started then.

    Raises a UserMistake for a request that cannot be carried out, RunInProgress where another run is in the way,
    NoRoom where it would not fit the disk.
    """
    now = now or moments.now()
    run_id = run_id or ledger.new_run_id()
    request = replace(request, request_id=request.request_id or trace.request_id() or trace.new_request_id())
    with trace.serving(request.request_id, run_id):
        return _launch(services, request, send, now, run_id, key)


def _launch(
    services: Services, request: RunRequest, send: Send, now: datetime, run_id: str, key: Key | None
) -> RunRecord:
    database = _database(services, request)
    ensure(services.cluster, database)
    with services.cluster.connect(database, "launch") as connection:
        started, _ = once(connection, key, lambda: _open(services, connection, run_id, request, now))
        connection.commit()
        due = ledger.due(connection, database, resend=services.settings.resend, window=services.settings.run_window)
    send(due)
    return run_records.find_run(services.cluster, started)


def _open(services: Services, connection: Connection, run_id: str, request: RunRequest, now: datetime) -> str:
    """Write a run to the ledger and return its id; the caller commits."""
    plan = _plan(services, connection, run_id, request, now)
    plan = replace(plan, late_keys=plan.exclusive)
    expected = estimate(services, connection, plan)
    check_room(expected, services.settings.disk_reserve * GB)
    ledger.open_run(connection, run_id, plan, requested_by=request.requested_by, subject=_subject(plan))
    if plan.freeze is not None and plan.mends is None:
        version = _begin_version(connection, plan)
        ledger.set_version(connection, run_id, version)
    run_control.note(connection, run_id, to_ledger(request), to_json(expected))
    return run_id


def _begin_version(connection: Connection, plan: Plan) -> int:
    lost = plan.version_plan.rebuilds
    if lost is not None:
        return version_rebuild.reopen(connection, plan.stack.name, lost)
    return version_publishing.begin_version(connection, plan, plan.version_plan.expires_on)


def plan_run(services: Services, request: RunRequest, now: datetime | None = None) -> Plan:
    """The plan that `launch` would carry out; nothing is written."""
    database = _database(services, request)
    ensure(services.cluster, database)
    with services.cluster.connect(database, "dry run") as connection:
        return _plan(services, connection, ledger.new_run_id(), request, now or moments.now())


def estimate_run(services: Services, request: RunRequest, now: datetime | None = None) -> tuple[Plan, Estimate]:
    """The plan that `launch` would carry out, and what it may cost; nothing is written."""
    plan = plan_run(services, request, now)
    with services.cluster.connect(_database(services, request), "estimate") as connection:
        return plan, estimate(services, connection, plan)


def estimate(services: Services, connection: Connection, plan: Plan) -> Estimate:
    """What a plan may cost; the disk is looked at only where the plan writes."""
    settings = services.settings
    stack = None if plan.datastack is None else plan.datastack.name
    expected = expect(
        plan,
        estimates.sizes(connection, plan.tables),
        graph_batch=settings.graph_batch,
        lookup_batch=settings.lookup_batch,
        earlier=estimates.earlier(connection, plan.kind, stack),
    )
    return replace(expected, free=estimates.free_bytes(services.cluster)) if expected.bytes else expected


def resume(services: Services, run_id: str, send: Send) -> RunRecord:
    """Let a failed or cancelled run go on from the units that are done, and return its record."""
    database = resumption.resume(services.cluster, run_id)
    wake(services, [database], send)
    return run_records.find_run(services.cluster, run_id)


def retry(services: Services, run_id: str, send: Send, requested_by: str, key: Key | None = None) -> RunRecord:
    """Start a new run of the same request, and return its record."""
    request = from_json(run_control.request_of(services.cluster, run_id), RunRequest)
    return launch(services, replace(request, requested_by=requested_by, request_id=""), send, key=key)


def wake(services: Services, databases: Sequence[str], send: Send) -> None:
    """Send what can be done now in these live databases."""
    settings = services.settings
    for database in databases:
        with services.cluster.connect(database, "wake") as connection:
            due = ledger.due(connection, database, resend=settings.resend, window=settings.run_window)
        send(due)


def pause_scope(services: Services, datastack: str | None) -> tuple[str, tuple[str, ...]]:
    """What `pause` and `unpause` mean by a datastack, or by none: the scope, and its live databases."""
    if datastack is None:
        return run_control.EVERYTHING, live_databases(services.cluster)
    volume = services.datastacks.get(datastack).aligned_volume
    ensure(services.cluster, volume)
    return datastack, (volume,)


def _database(services: Services, request: RunRequest) -> str:
    if request.kind is RunKind.DUMMY or (request.kind is RunKind.RETIRE and not request.datastack):
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
    if request.kind is RunKind.RETIRE:
        return _retirement(services, request, now)
    datastack, as_of = _datastack(services, request), _moment(services, request, now)
    version_care.refuse_virtual(connection, datastack.name)
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


def _retirement(services: Services, request: RunRequest, now: datetime) -> Plan:
    stack = _datastack(services, request) if request.datastack else None
    databases = live_databases(services.cluster) if stack is None else (stack.aligned_volume,)
    moment = now if request.as_of is None else _moment(services, request, now)
    return periodic_database_removal.plan(databases, stack, request, moment, services.settings.min_databases)


def _subject(plan: Plan) -> str | None:
    """What excludes a twin of a run that is not exclusive: one upload of a table, one retirement at a time."""
    if plan.kind is RunKind.RETIRE:
        return "retirement"
    return run_control.subject_of_upload(plan.upload.table.name) if plan.upload is not None else None
