"""What the requests of one process share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

from cachetools import TTLCache
from flask import Flask, current_app

from ..bootstrap import Services
from ..config import Settings
from ..domain.datastack import Datastack
from ..domain.errors import Unknown
from ..gateways.auth import Auth, AuthDisabled, AuthService
from ..gateways.forward import Forwarder
from ..storage.engines import Cluster
from ..storage.live_database import ensure
from ..storage.live_rows import LookUps
from ..storage.precomputed_layout import Layout
from ..storage.read_pool import ReadPool
from ..watch.watcher import Watcher
from ..workflows.celery_app import EngineCelery, create_celery
from .meters import make_meters
from .rates import Counter, Rates
from .slots import Slots

KEY = "materializationengine"
VOLUMES_FOR = 60.0
"""Seconds for which the aligned volumes behind the datastacks are remembered."""


@dataclass
class LiveDatabases:
    """Live databases, each made and brought to the newest layout when a process first meets it."""

    cluster: Cluster
    _met: set[str] = field(default_factory=set)

    def meet(self, name: str) -> str:
        """The same name, of a database that is there now."""
        if name not in self._met:
            ensure(self.cluster, name)
            self._met.add(name)
        return name


class Layouts:
    """Layouts of tables for Neuroglancer, by the marks of their rows."""

    def __init__(self, most: int = 256, keep: float = 3600.0) -> None:
        self._known: TTLCache[tuple[str, ...], Layout] = TTLCache(maxsize=most, ttl=keep)
        self._guard = threading.Lock()

    def get(self, mark: tuple[str, ...]) -> Layout | None:
        """The one that was put; None where it was not, or long ago."""
        with self._guard:
            return self._known.get(mark)

    def put(self, mark: tuple[str, ...], layout: Layout) -> None:
        """Keep one."""
        with self._guard:
            self._known[mark] = layout


class Parts:
    """The chosen parts of one process and what is pooled over its requests."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.services = Services(settings, "matengine web")
        self.auth: Auth = AuthDisabled() if settings.auth_disabled else _auth(settings)
        self.look_ups = LookUps()
        self.slots = Slots(0 if settings.auth_disabled else settings.queries_per_user)
        self.rates = Rates.read(settings)
        self.counter = Counter(settings.limiter)
        self.layouts = Layouts()
        self.pool = ReadPool(self.services.cluster, settings.query_timeout)
        self.celery: EngineCelery = create_celery(settings)
        self.watcher = Watcher(self.services)
        self.meters = make_meters()
        self.live = LiveDatabases(self.services.cluster)
        self.neighbors = Forwarder(settings.localcave_url) if settings.localcave_url else None
        self._volumes: TTLCache[str, tuple[Datastack, ...]] = TTLCache(maxsize=1, ttl=VOLUMES_FOR)
        self._guard = threading.Lock()

    def datastack(self, name: str) -> Datastack:
        """One datastack. Raises UnknownDatastack, NeighborDown."""
        return self.services.datastacks.get(name)

    def datastacks_of(self, volume: str) -> tuple[Datastack, ...]:
        """The datastacks on an aligned volume. Raises Unknown, NeighborDown.

        A volume that is not remembered is asked for again: a new datastack needs no restart and no patience.
        """
        for remembered in (True, False):
            stacks = self._all_datastacks(remembered)
            found = tuple(stack for stack in stacks if stack.aligned_volume == volume)
            if found:
                break
        else:
            there = ", ".join(sorted({stack.aligned_volume for stack in stacks})) or "none"
            raise Unknown(f"unknown aligned volume {volume!r}; there are {there}", field="aligned_volume")
        return found

    def _all_datastacks(self, remembered: bool) -> tuple[Datastack, ...]:
        with self._guard:
            known = self._volumes.get("all") if remembered else None
        if known is None:
            services = self.services.datastacks
            known = tuple(services.get(name) for name in services.names())
            with self._guard:
                self._volumes["all"] = known
        return known

    def close(self) -> None:
        """Close what is pooled."""
        self.pool.close()
        self.services.close()


def _auth(settings: Settings) -> AuthService:
    return AuthService(settings.auth_server, settings.token)


def parts(app: Flask | None = None) -> Parts:
    """The parts of the running application."""
    return cast(Parts, (app or current_app).extensions[KEY])
