"""Checks of the whole service: the database server, Redis, clocks, workers, beat and disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from ..bootstrap import Services
from ..domain.errors import GatewayUnavailable, MaterializationError, StorageUnavailable
from ..domain.estimate import GB
from ..domain.figures import Presence
from ..domain.health import Finding, green, red, yellow
from ..kernel.columns import DriverError
from ..storage import estimates, watching
from ..storage.live_database import known_layouts
from ..workflows.celery_app import QUEUES
from ..workflows.schedules import read_schedules

OLDEST_POSTGRES = 140000
"""Version 14: the oldest whose server notices by itself that a client is gone (client_connection_check_interval)."""

LONGEST_TICK = 90.0
"""Seconds between two ticks of a beat that is well: it looks up at least every ten."""

Clock = Callable[[], float]
"""Unix seconds by this process's clock."""


@dataclass(frozen=True, slots=True)
class Timed:
    """The database server, and the Unix seconds of this process's clock in the middle of asking it."""

    server: watching.Server
    asked: float


class Look:
    """What checks are handed. What several of them ask of the database is asked once, whatever the answer."""

    def __init__(self, services: Services, clock: Clock) -> None:
        self.services, self.clock = services, clock
        self._answers: dict[str, Timed | Presence | StorageUnavailable] = {}

    @property
    def timed(self) -> Timed:
        """The database server. Raises StorageUnavailable."""
        return cast(Timed, self._once("server", self._ask_server))

    @property
    def presence(self) -> Presence:
        """Workers and beats. Raises StorageUnavailable."""
        return cast(Presence, self._once("presence", lambda: watching.presence(self.services.cluster)))

    def _ask_server(self) -> Timed:
        before = self.clock()
        server = watching.server(self.services.cluster)
        return Timed(server, (before + self.clock()) / 2)

    def _once(self, name: str, ask: Callable[[], Timed | Presence]) -> Timed | Presence:
        if name not in self._answers:
            try:
                self._answers[name] = ask()
            except StorageUnavailable as error:
                self._answers[name] = error
        answer = self._answers[name]
        if isinstance(answer, StorageUnavailable):
            raise answer
        return answer


Check = Callable[[Look], Iterator[Finding]]


def guarded(name: str, check: Check, look: Look, fix: str) -> list[Finding]:
    """What a check finds; a check that fails is a finding itself.

    A database that is down is red once: what can only be asked of it is yellow meanwhile.
    """
    try:
        return list(check(look))
    except StorageUnavailable as error:
        if name != "postgresql":
            return [yellow(name, "not looked at, as PostgreSQL does not answer", fix)]
        return [red(name, " ".join(error.message.split()), fix)]
    except (MaterializationError, DriverError) as error:
        told = error.message if isinstance(error, MaterializationError) else f"the database said no: {error}"
        return [red(name, " ".join(told.split()), fix)]


def database(look: Look) -> Iterator[Finding]:
    """The server answers, and is new enough."""
    found = look.timed.server
    told = f"PostgreSQL {found.version // 10000}.{found.version % 10000}"
    if found.version < OLDEST_POSTGRES:
        yield red("postgresql", f"{told} is too old", "run PostgreSQL 14 or newer")
    else:
        yield green("postgresql", f"{told} answers")


def postgis(look: Look) -> Iterator[Finding]:
    """PostGIS can be had, and every live database has it."""
    offered = look.timed.server.postgis
    if offered is None:
        yield red("postgis", "the server has no PostGIS", "install PostGIS on the database server, version 3 or newer")
        return
    lacking = watching.without_postgis(look.services.cluster)
    if lacking:
        yield red("postgis", f"{', '.join(lacking)} lack PostGIS", "run CREATE EXTENSION postgis in each of them")
    else:
        yield green("postgis", f"PostGIS {offered}")


def role(look: Look) -> Iterator[Finding]:
    """The engine's role may make databases, and in production no more than it must."""
    found = look.timed.server
    if not found.may_create:
        yield red("role", f"{found.role} may not make databases", f'run ALTER ROLE "{found.role}" CREATEDB')
    elif found.superuser and look.services.settings.configuration == "production":
        yield yellow("role", f"{found.role} is a superuser", "give the engine a role of its own with CREATEDB alone")
    else:
        yield green("role", f"{found.role} may make databases")


def layout(look: Look) -> Iterator[Finding]:
    """Every live database has the layout that this code knows."""
    wanted, found = known_layouts()[0], watching.layouts(look.services.cluster)
    late = [f"{name} ({at or 'none'})" for name, at in sorted(found.items()) if at != wanted]
    if late:
        yield red(
            "layout",
            f"this code wants layout {wanted}, but there is {', '.join(late)}",
            "run matengine db upgrade, or install a release as new as they are",
        )
    else:
        yield green("layout", f"{len(found)} live databases at layout {wanted}")


def redis(look: Look) -> Iterator[Finding]:
    """Redis answers, and forgets no message when its memory is full."""
    policy = look.services.broker.eviction()
    if policy not in (None, "noeviction"):
        yield red("redis", f"Redis drops keys when it is full ({policy})", "run CONFIG SET maxmemory-policy noeviction")
    else:
        yield green("redis", "Redis answers and evicts nothing")


def clocks(look: Look) -> Iterator[Finding]:
    """The clocks of this machine, PostgreSQL and Redis agree."""
    tolerance = look.services.settings.clock_tolerance
    skews = {"PostgreSQL": look.timed.server.now - look.timed.asked}
    # Redis has a check of its own, which is red where it does not answer.
    with contextlib.suppress(GatewayUnavailable):
        skews["Redis"] = _skew(look, look.services.broker.now)
    off = [f"{name}'s is {skew:+.1f} s from this machine's" for name, skew in skews.items() if abs(skew) > tolerance]
    if off:
        yield red("clock", f"clocks differ: {', '.join(off)}", "keep every machine's clock by NTP")
    else:
        widest = max(map(abs, skews.values()))
        yield green("clock", f"clocks agree within {max(widest, 0.1):.1f} s")


def _skew(look: Look, ask: Clock) -> float:
    """Seconds by which a clock is ahead, as seen from the middle of the question."""
    before = look.clock()
    told = ask()
    return told - (before + look.clock()) / 2


def workers(look: Look) -> Iterator[Finding]:
    """Every queue has a worker."""
    present = look.presence.workers
    taken = {queue for worker in present for queue in worker.queues}
    left = [queue for queue in QUEUES if queue not in taken]
    if left:
        told = f"no worker takes from {', '.join(left)}" if present else "there is no worker"
        start = f"celery --app=materializationengine.workflows.app:celery worker --queues={','.join(left)}"
        yield red("workers", told, f"start one: {start}")
    else:
        yield green("workers", f"{len(present)} workers on {', '.join(QUEUES)}")


def beat(look: Look) -> Iterator[Finding]:
    """Where there are schedules, a beat ticks."""
    planned = len(read_schedules(look.services.settings.beat_schedules))
    ticks = look.presence.ticks
    age = look.timed.server.now - max(ticks, default=0.0)
    fix = "start one: celery --app=materializationengine.workflows.app:celery beat"
    if not ticks:
        told = f"there are {planned} schedules and no beat" if planned else "no beat, and no schedule that needs one"
        yield red("beat", told, fix) if planned else green("beat", told)
    elif age > LONGEST_TICK:
        yield red("beat", f"the last tick was {age:.0f} s ago", "see the log of beat, and restart it")
    else:
        yield green("beat", f"the last tick was {max(age, 0):.0f} s ago")


def disk(look: Look) -> Iterator[Finding]:
    """The database's disk has more room than must be left free."""
    reserve = look.services.settings.disk_reserve
    free = estimates.free_bytes(look.services.cluster)
    if free is None:
        grant = "grant the engine's role pg_execute_server_program, or watch the disk elsewhere"
        yield yellow("disk", "the server does not let us see its disk", grant)
    elif free < reserve * GB:
        yield red(
            "disk",
            f"{free / GB:.1f} GB are free on the database's disk, less than the reserve of {reserve:g} GB",
            "retire versions (matengine versions DATASTACK N --drop), or give the disk more room",
        )
    else:
        yield green("disk", f"{free / GB:.1f} GB are free on the database's disk")


SERVICE: dict[str, tuple[Check, str]] = {
    "postgresql": (database, "start PostgreSQL, or set SQLALCHEMY_DATABASE_URI right"),
    "postgis": (postgis, "let the engine's role read every live database"),
    "role": (role, "let the engine's role log in"),
    "layout": (layout, "let the engine's role read every live database"),
    "redis": (redis, "start Redis, or set REDIS_URL right"),
    "clock": (clocks, "PostgreSQL must answer before clocks can be compared"),
    "workers": (workers, "PostgreSQL must answer before workers can be counted"),
    "beat": (beat, "PostgreSQL must answer, and BEAT_SCHEDULES be readable"),
    "disk": (disk, "PostgreSQL must answer before its disk can be looked at"),
}
"""Each check of the service, and what to do where it cannot even be made."""


def service(look: Look) -> list[Finding]:
    """All checks of the service."""
    return [found for name, (check, fix) in SERVICE.items() for found in guarded(name, check, look, fix)]
