"""What one process knows of the service's health and figures, asked again when it is no longer fresh."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from ..bootstrap import Services
from ..domain.errors import MaterializationError
from ..domain.figures import LedgerFigures, Presence, SizeFigures
from ..domain.health import Finding
from ..kernel.columns import DriverError
from ..storage import estimates, watching
from . import checks, datastacks

T = TypeVar("T")

FRESH = 5.0
"""Seconds for which findings and the ledger's figures are good; a scrape every 15 s sees everything within 20."""

SIZES_FRESH = 60.0
"""Seconds for which sizes are good: they cost a walk over every database's files."""

_SIDE_BY_SIDE = 8
"""Datastacks looked at at once."""


@dataclass
class _Kept(Generic[T]):
    """An answer with its moment; whoever asks while another asks waits for that one's answer."""

    ask: Callable[[], T]
    fresh: float

    def __post_init__(self) -> None:
        self._guard = threading.Lock()
        self._known: tuple[float, T] | None = None

    def get(self) -> T:
        with self._guard:
            if self._known is None or time.monotonic() - self._known[0] > self.fresh:
                # Its age counts from the end of the question: one that takes long is not asked all the time.
                answer = self.ask()
                self._known = (time.monotonic(), answer)
            return self._known[1]


class Watcher:
    """Health and figures for the doors. What cannot be asked now is left out of the figures; health says why."""

    def __init__(self, services: Services, clock: checks.Clock = time.time) -> None:
        self._services, self._clock = services, clock
        cluster, resend = services.cluster, services.settings.resend
        self._service = _Kept(self._ask_service, FRESH)
        self._datastacks = _Kept(self._ask_datastacks, FRESH)
        self._presence = _Kept(partial(_known, partial(watching.presence, cluster)), FRESH)
        self._ledger = _Kept(partial(_known, partial(watching.ledger_figures, cluster, resend)), FRESH)
        self._free = _Kept(partial(_known, partial(estimates.free_bytes, cluster)), FRESH)
        self._sizes = _Kept(partial(_known, partial(watching.size_figures, cluster)), SIZES_FRESH)

    def service(self) -> list[Finding]:
        """Findings about the whole service."""
        return self._service.get()

    def datastacks(self) -> list[Finding]:
        """Findings about each datastack that can be seen."""
        return self._datastacks.get()

    def presence(self) -> Presence | None:
        """Who is there; None where the database does not answer."""
        return self._presence.get()

    def ledger(self) -> LedgerFigures | None:
        """Open ends of the ledgers; None where the database does not answer."""
        return self._ledger.get()

    def sizes(self) -> SizeFigures | None:
        """Bytes; None where the database does not answer."""
        return self._sizes.get()

    def free_bytes(self) -> int | None:
        """Free bytes of the database's disk; None where they cannot be seen."""
        return self._free.get()

    def _ask_service(self) -> list[Finding]:
        return checks.service(checks.Look(self._services, self._clock))

    def _ask_datastacks(self) -> list[Finding]:
        look = checks.Look(self._services, self._clock)
        try:
            names = look.services.datastacks.names()
        except MaterializationError as error:
            return [checks.red("info", error.message, "start the info service, or set GLOBAL_SERVER_URL right")]
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            found = pool.map(partial(datastacks.quick, look), names)
            return [each for findings in found for each in findings]


def _known(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (MaterializationError, DriverError):
        return None
