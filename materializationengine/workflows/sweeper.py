"""The look for lost work: over every live database, cheap enough to be done every few seconds."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable

import structlog

from ..bootstrap import Services
from ..domain.errors import ConfigurationError, StorageUnavailable
from ..kernel.columns import Connection, DriverError
from ..storage import janitor, ledger
from ..storage.ledger import Message
from ..storage.live_database import ensure, live_databases

log = structlog.get_logger(__name__)


class Rounds:
    """One worker's rounds. Its connections stay open from round to round, so that a round costs milliseconds."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._connections: dict[str, Connection] = {}

    def __call__(self, *, resend: float) -> list[Message]:
        """Free units whose worker is gone, and say which messages to send again; drop what ended runs left.

        Raises StorageUnavailable where the server itself does not answer.
        """
        found: list[Message] = []
        for database in live_databases(self._services.cluster):
            try:
                found += self._sweep(database, resend)
            except (DriverError, StorageUnavailable, ConfigurationError) as error:
                log.warning("sweep of a database failed", database=database, error=str(error))
                self._forget(database)
        return found

    def _sweep(self, database: str, resend: float) -> list[Message]:
        if database not in self._connections:
            # After an upgrade the first worker finds databases of the former layout.
            ensure(self._services.cluster, database)
            self._connections[database] = self._services.cluster.connect(database, "sweep")
        connection = self._connections[database]
        window = self._services.settings.run_window
        found = ledger.sweep(connection, database, resend=resend, window=window)
        if janitor.has_work(connection):
            janitor.clean(self._services.cluster, database, self._services.settings.keep_failed)
        return found

    def _forget(self, database: str) -> None:
        connection = self._connections.pop(database, None)
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close every connection."""
        for database in list(self._connections):
            self._forget(database)


class Presence:
    """The connection by which monitoring knows a worker: the server drops it when the process ends.

    Redis remembers the worker until it takes leave, so that one that was lost is told from one that was stopped.
    """

    def __init__(self, services: Services, queues: Iterable[str]) -> None:
        self._services = services
        self._sign = f"{','.join(sorted(queues))} {socket.gethostname()}"
        self._own_sign = f"{self._sign} {os.getpid()} {time.time_ns()}"
        self._there: Connection | None = None

    def show(self) -> None:
        """Open it, or open it anew where the server has dropped it. Raises StorageUnavailable."""
        self._services.broker.greet(self._own_sign)
        try:
            if self._there is not None:
                self._there.rows("SELECT 1")
                self._there.commit()
                return
        except DriverError:
            self._there = None
        self._there = self._services.cluster.connect(purpose=f"takes {self._sign}")

    def end(self) -> None:
        """Take leave, then close it."""
        self._services.broker.take_leave(self._own_sign)
        if self._there is not None:
            self._there.close()
            self._there = None
