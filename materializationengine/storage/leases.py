"""Leases of units at work: who works longer than a lease says so meanwhile, and is left alone.

The news has a table of its own, because the unit's row is held by the transaction of the unit.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import structlog

from ..domain.errors import StorageUnavailable
from ..kernel.columns import Connection, DriverError
from .engines import Cluster
from .ledger import ClaimedUnit
from .sql import sql

log = structlog.get_logger(__name__)

_IN_TIME = 3
"""A lease is renewed so many times before it would run out."""


def renew(connection: Connection, unit: ClaimedUnit, lease: float) -> None:
    """Say that a unit is at work; commits."""
    connection.execute(sql("ledger", "renew_lease"), unit.id, unit.attempt, lease)
    connection.commit()


class Renewal:
    """Renews the lease of a unit for the time of a `with`, from a thread and a connection of its own.

    A process that is stopped stops renewing, so its unit is taken over. Neither thread nor connection costs anything
    for a unit that ends within a third of its lease, but for a thread that waits.
    """

    def __init__(self, cluster: Cluster, database: str, unit: ClaimedUnit, lease: float) -> None:
        self._cluster, self._database, self._unit, self._lease = cluster, database, unit, lease
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease of unit {unit.id}", daemon=True)

    def _keep(self) -> None:
        while not self._over.wait(self._lease / _IN_TIME):
            try:
                with self._cluster.connect(self._database, "renew lease") as connection:
                    renew(connection, self._unit, self._lease)
            except (DriverError, StorageUnavailable) as error:
                log.warning("lease was not renewed", unit_id=str(self._unit.id), error=str(error))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        # A renewal that hangs in a network must not hold the unit; one that comes late changes nothing.
        self._thread.join(1.0)
