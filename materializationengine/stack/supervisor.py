"""Keeps a set of servers alive: starts them in order, starts the fallen anew, stops all at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from ..kernel.processes import ServerError, tail
from .child import Server

log = structlog.get_logger(__name__)


@dataclass
class Service:
    """A server under supervision, and what is remembered of its falls.

    Parameters
    ----------
    ready
        Whether it does its work yet; asked only while it is running.
    tier
        Lower tiers are ready before higher ones start, and stop after them.
    """

    name: str
    server: Server
    ready: Callable[[], bool] = lambda: True
    tier: int = 0
    log: Path | None = None
    falls: int = 0
    started: float | None = field(default=None, repr=False)
    due: float | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """When a fallen service is started again. All times in seconds.

    Parameters
    ----------
    restart
        False leaves it lying.
    first, longest
        Waits before the first and before any restart; they double from fall to fall.
    forget
        A service that ran this long starts counting from zero.
    give_up
        Falls of one service before all are ready for the first time, after which the start has failed.
    patience
        Time for all to become ready.
    """

    restart: bool = True
    first: float = 0.3
    longest: float = 30.0
    forget: float = 30.0
    give_up: int = 3
    patience: float = 120.0


class Supervisor:
    """Owner of all processes of a stack. One thread only: children die with the thread that started them."""

    def __init__(self, services: Sequence[Service], policy: Policy | None = None) -> None:
        self.services = sorted(services, key=lambda service: service.tier)
        self.policy = policy or Policy()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start all and wait until they are ready; stop all on the way out.

        Raises ServerError with the end of its log when one keeps falling or is not ready in time.
        """
        try:
            for tier in sorted({service.tier for service in self.services}):
                self._start([service for service in self.services if service.tier == tier])
            yield
        finally:
            self.stop()

    def pids(self) -> dict[str, int]:
        """Process id by service, of those alive."""
        return {service.name: service.server.pid for service in self.services if service.server.running}

    def tend(self) -> bool:
        """One round: note the fallen, start those whose wait is over. True if anything was started."""
        fallen = [s for s in self.services if s.started is not None and not s.server.running]
        for service in fallen:
            if service.due is None:
                self._note_fall(service)
        risen = [s for s in fallen if self.policy.restart and s.due is not None and time.monotonic() >= s.due]
        for service in risen:
            self._launch(service)
        return bool(risen)

    def stop(self) -> None:
        """Stop all, higher tiers first, those of one tier at once."""
        for tier in sorted({service.tier for service in self.services}, reverse=True):
            group = [service for service in self.services if service.tier == tier]
            with ThreadPoolExecutor(len(group)) as pool:
                list(pool.map(lambda service: service.server.stop(), group))

    def _start(self, group: Sequence[Service]) -> None:
        for service in group:
            service.server.start()
            service.started = time.monotonic()
        deadline = time.monotonic() + self.policy.patience
        # All in one round: who was ready a moment ago may have fallen since.
        while waiting := [s for s in group if not (s.server.running and s.ready())]:
            self.tend()
            for service in group:
                if service.falls >= self.policy.give_up or (service.falls and not self.policy.restart):
                    raise ServerError(f"{service.name} does not start{_last_words(service)}")
            if time.monotonic() > deadline:
                names = ", ".join(service.name for service in waiting)
                seconds = f"{self.policy.patience:.0f} s"
                raise ServerError(f"{names} not ready after {seconds}{_last_words(waiting[0])}")
            time.sleep(0.05)

    def _note_fall(self, service: Service) -> None:
        now = time.monotonic()
        if service.started is not None and now - service.started > self.policy.forget:
            service.falls = 0
        wait = min(self.policy.first * 2**service.falls, self.policy.longest)
        service.falls += 1
        service.due = now + wait
        log.warning("service fell", service=service.name, falls=service.falls, restart=self.policy.restart)

    def _launch(self, service: Service) -> None:
        service.started, service.due = time.monotonic(), None
        try:
            service.server.start()
        except (ServerError, OSError) as error:
            log.error("service does not start", service=service.name, error=str(error))
            self._note_fall(service)
        else:
            log.info("service started again", service=service.name, pid=service.server.pid)


def _last_words(service: Service) -> str:
    return "" if service.log is None else f"; {service.log} ends:\n{tail(service.log, 15)}"
