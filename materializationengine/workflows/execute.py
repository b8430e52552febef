"""One unit from claim to commit, and what becomes of it when it fails."""

from __future__ import annotations

from contextlib import suppress

import psycopg2
import structlog

from ..bootstrap import Services
from ..domain.errors import (
    MaterializationError,
    NeighborDown,
    NewerWork,
    StaleUnit,
    StorageUnavailable,
    WritersStillOpen,
)
from ..kernel import trace
from ..kernel.columns import Connection, DriverError, brief, sqlstate
from ..storage import janitor, ledger, version_publishing
from ..storage.engines import sign
from ..storage.leases import Renewal
from ..storage.ledger import ClaimedUnit, Message
from .actions import perform
from .notices import tell_failures

log = structlog.get_logger(__name__)

_PASSING = frozenset({"", "08", "40", "53", "55", "57", "58"})
"""SQLSTATE classes that another try may mend: broken connection, conflict, resources, lock, shutdown, system."""


def run_unit(services: Services, database: str, unit_id: int, owner: str) -> list[Message]:
    """Claim a unit, do it, and close it in the transaction that carries its rows.

    Returns the messages to send now; [] where the unit was not to be had, which is no error: messages come twice.
    """
    settings = services.settings
    try:
        with services.cluster.connect(database, "unit") as connection:
            unit = ledger.claim(connection, unit_id, owner=owner, lease=settings.lease)
            if unit is None:
                return []
            with trace.serving(unit.request_id, unit.run_id, unit.id):
                sign(connection, services.cluster.name("unit"))
                if not _attempt(services, database, connection, unit):
                    return []
            return ledger.due(connection, database, resend=settings.resend, window=settings.run_window)
    except NewerWork as error:
        log.warning("unit is left to the workers of a newer release", unit_id=str(unit_id), why=error.message)
    return []


def _attempt(services: Services, database: str, connection: Connection, unit: ClaimedUnit) -> bool:
    """Do a unit, or write down why it could not be done; whether it is done. Raises NewerWork, the unit given back."""
    try:
        with Renewal(services.cluster, database, unit, services.settings.lease):
            _do(services, connection, unit)
    except NewerWork:
        ledger.leave(connection, unit.id, unit.attempt)
        raise
    except StaleUnit:
        log.warning("unit was taken over")
    # The boundary: whatever a step raises, a bug included, must end up in the ledger as the reason why the
    # run waits or failed. Letting it pass would leave the unit RUNNING until its lease runs out.
    except Exception as error:  # noqa: BLE001  (see above)
        # The rows that the unit holds are let go, and not yet its lock: a sweeper that finds the unit without one
        # would count a dead worker instead of this failure.
        with suppress(DriverError):
            connection.rollback()
        _give_up_or_retry(services, database, unit, error)
    else:
        return True
    return False


def _do(services: Services, connection: Connection, unit: ClaimedUnit) -> None:
    log.info("unit begins", action=unit.spec.action, attempt=unit.attempt)
    crashes = unit.attempt - 1 - ledger.failures(connection, unit)
    if crashes >= services.settings.max_attempts:
        raise MaterializationError(f"its worker ended {crashes} times while it ran; see the workers' logs")
    ledger.fence(connection, unit)
    report = perform(services.work(unit, connection), unit.spec)
    ledger.finish(connection, unit, report.to_json(), report.spawned)
    connection.commit()
    log.info("unit done", action=unit.spec.action, rows=report.rows)


def _give_up_or_retry(services: Services, database: str, unit: ClaimedUnit, error: Exception) -> None:
    """Write the failure on a connection of its own: the unit's may be the thing that broke."""
    settings = services.settings
    message = error.message if isinstance(error, MaterializationError) else f"{type(error).__name__}: {brief(error)}"
    log.warning("unit failed", action=unit.spec.action, error=message)
    with services.cluster.connect(database, f"failure of unit {unit.id}") as connection:
        if _may_pass(error) and ledger.failures(connection, unit) + 1 < settings.max_attempts:
            ledger.retry(connection, unit, message, delay=settings.retry_delay)
            return
        log.error("run failed", exc_info=error)
        if ledger.fail(connection, unit, message) and unit.version is not None:
            stack = unit.plan.stack.name
            version_publishing.fail_version(connection, stack, unit.version, unit.run_id, message)
        connection.commit()
    janitor.clean(services.cluster, database, settings.keep_failed)
    tell_failures(services, database)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, (DriverError, psycopg2.Error)):
        return sqlstate(error)[:2] in _PASSING
    return isinstance(error, (NeighborDown, StorageUnavailable, WritersStillOpen, OSError))
