"""Figures of the whole service, as the ledger and the server tell them; every process reads the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OpenUnits:
    """Units of active runs by what they belong to and where they stand."""

    workflow: str
    datastack: str
    state: str
    units: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Units of one action that could be at work: how many, and the seconds for which the oldest has waited."""

    action: str
    units: int
    oldest: float


@dataclass(frozen=True, slots=True)
class EndedRuns:
    """Runs that ended within a day."""

    workflow: str
    status: str
    runs: int


@dataclass(frozen=True, slots=True)
class Versions:
    """The readable versions of a datastack; `age` is seconds since the newest one's moment, None without one."""

    datastack: str
    versions: int
    age: float | None


@dataclass(frozen=True, slots=True)
class Debt:
    """Ids that a table is owed, for one reason."""

    database: str
    table: str
    reason: str
    rows: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A living worker and the queues that it takes from."""

    host: str
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LedgerFigures:
    """What the live databases hold, all of them together."""

    units: tuple[OpenUnits, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    ended: tuple[EndedRuns, ...] = ()
    versions: tuple[Versions, ...] = ()


@dataclass(frozen=True, slots=True)
class SizeFigures:
    """Bytes by database, bytes of the tables that grow with history by (database, table), and what is owed."""

    databases: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[tuple[str, str], int] = field(default_factory=dict)
    owed: tuple[Debt, ...] = ()


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is there: workers by what they take from, and when each beat last ticked (Unix seconds)."""

    workers: tuple[Worker, ...] = ()
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphTimes:
    """Calls of the chunkedgraph of one outcome: how many took at most so many seconds, and all seconds together."""

    outcome: str
    below: tuple[tuple[float, int], ...]
    calls: int
    seconds: float
