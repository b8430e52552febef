"""What a schedule does when its slot has come: the slot is taken in PostgreSQL first, so many beats are as one."""

from __future__ import annotations

import hashlib
from datetime import datetime

import structlog

from ..bootstrap import Services
from ..domain.errors import MaterializationError, NeighborDown, RunInProgress, UnknownRun
from ..domain.plan import RunKind
from ..domain.schedule import Deed, Schedule, due
from ..storage import run_records, schedules
from ..storage.live_database import ensure
from .launch import Send, launch
from .requests import RunRequest

log = structlog.get_logger(__name__)

KINDS = {Deed.MATERIALIZE: RunKind.COMPLETE, Deed.UPDATE: RunKind.UPDATE_ROOTS, Deed.RETIRE: RunKind.RETIRE}
"""What each deed of a schedule starts."""


def look(services: Services, schedule: Schedule, send: Send, now: datetime) -> list[str]:
    """Decide every slot of a schedule that has come by `now`; returns the ids of the runs that were started.

    Safe to call twice, side by side, and after any crash.
    """
    home = services.cluster.home
    ensure(services.cluster, home)
    with services.cluster.connect(home, f"schedule {schedule.name}") as connection:
        last = schedules.last_slot(connection, schedule.name, now)
        found = due(schedule.cron, last, now, services.settings.beat_grace)
        for slot, reason in found.skipped:
            schedules.skip(connection, schedule.name, slot, reason)
        slots = schedules.unsettled(connection, schedule.name, services.settings.beat_retry)
        if found.fire is not None and schedules.take(connection, schedule.name, found.fire):
            slots.append(found.fire)
    return [run for slot in slots for run in _fire(services, schedule, slot, send, now)]


def _fire(services: Services, schedule: Schedule, slot: datetime, send: Send, now: datetime) -> list[str]:
    """Start the runs of a slot. A slot that has to wait stays unsettled, and is looked at again later."""
    runs: list[str] = []
    reasons: list[str] = []
    waits = False
    for name in _datastacks(services, schedule):
        try:
            if reason := _in_the_way(services, schedule, name):
                reasons.append(reason)
            else:
                runs.append(_start(services, schedule, slot, name, send, now))
        except MaterializationError as error:
            log.warning("schedule skips", schedule=schedule.name, datastack=name, reason=error.message)
            reasons.append(f"{name}: {error.message}" if name else error.message)
            waits |= _passes(error, runs)
    if not waits or (now - slot).total_seconds() > services.settings.beat_grace:
        with services.cluster.connect(services.cluster.home, f"schedule {schedule.name}") as connection:
            told = "; ".join(reasons) or ("" if runs else "there is no datastack")
            schedules.settle(connection, schedule.name, slot, runs, told)
    return runs


def _passes(error: MaterializationError, runs: list[str]) -> bool:
    """Whether to wait: a neighbor may come back, and a run of this very slot on the same volume will end."""
    return isinstance(error, NeighborDown) or error.details.get("run") in runs


def _datastacks(services: Services, schedule: Schedule) -> list[str | None]:
    if schedule.datastack is not None or schedule.deed is Deed.RETIRE:
        return [schedule.datastack]
    return list(services.settings.scheduled() or services.datastacks.names())


def _in_the_way(services: Services, schedule: Schedule, datastack: str | None) -> str | None:
    most = services.settings.max_databases
    if schedule.deed is not Deed.MATERIALIZE or most < 1 or datastack is None:
        return None
    volume = services.datastacks.get(datastack).aligned_volume
    ensure(services.cluster, volume)
    with services.cluster.connect(volume, "count versions") as connection:
        there = schedules.readable_versions(connection, datastack)
    return f"{datastack}: {there} versions are there, MAX_DATABASES is {most}" if there >= most else None


def _start(
    services: Services, schedule: Schedule, slot: datetime, datastack: str | None, send: Send, now: datetime
) -> str:
    """Start the run of a slot; its id follows from the slot, so it cannot be started twice."""
    run_id = slot_run_id(schedule.name, slot, datastack)
    request = RunRequest(
        KINDS[schedule.deed],
        datastack,
        expires_in_days=schedule.days,
        split=not schedule.merge_tables,
        keep=schedule.keep,
        requested_by=f"schedule {schedule.name}",
    )
    if _exists(services, run_id):
        return run_id
    try:
        return launch(services, request, send, now, run_id).id
    except RunInProgress:
        if _exists(services, run_id):
            return run_id
        raise


def _exists(services: Services, run_id: str) -> bool:
    try:
        run_records.find_run(services.cluster, run_id)
    except UnknownRun:
        return False
    return True


def slot_run_id(schedule: str, slot: datetime, datastack: str | None) -> str:
    """Twelve hexadecimal digits, as every run has them."""
    return hashlib.sha256(f"{schedule}|{slot.isoformat()}|{datastack or ''}".encode()).hexdigest()[:12]
