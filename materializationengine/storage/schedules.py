"""Which slots of which schedules were decided, and how: rows of the home database, shared by every beat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..kernel import moments
from ..kernel.columns import Connection
from .sql import sql


@dataclass(frozen=True, slots=True)
class Firing:
    """A slot and what became of it: the runs that it started, or why there are none."""

    schedule: str
    slot: datetime
    outcome: str
    reason: str
    runs: tuple[str, ...]
    decided: datetime

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "schedule": self.schedule,
            "slot": moments.aware(self.slot).isoformat(),
            "outcome": self.outcome,
            "reason": self.reason,
            "runs": list(self.runs),
            "decided": moments.aware(self.decided).isoformat(),
        }


def last_slot(connection: Connection, schedule: str, now: datetime) -> datetime:
    """The newest slot that was decided; a schedule that is seen for the first time begins now. Commits."""
    last = connection.value(sql("schedules", "last_slot"), schedule)
    if last is None:
        connection.rows(sql("schedules", "decide"), schedule, now, "REGISTERED", "seen for the first time")
        last = now
    connection.commit()
    return moments.aware(last)


def skip(connection: Connection, schedule: str, slot: datetime, reason: str) -> None:
    """Note that a slot is not fired, unless it was decided before; commits."""
    connection.rows(sql("schedules", "decide"), schedule, slot, "SKIPPED", reason)
    connection.commit()


def take(connection: Connection, schedule: str, slot: datetime) -> bool:
    """Take a slot to fire it; False where another beat has it. Commits."""
    taken = connection.one(sql("schedules", "decide"), schedule, slot, "PENDING", "") is not None
    connection.commit()
    return taken


def unsettled(connection: Connection, schedule: str, after: float) -> list[datetime]:
    """Slots that somebody took `after` seconds ago and could not settle; they are the caller's now. Commits."""
    found = [moments.aware(slot) for (slot,) in connection.rows(sql("schedules", "unsettled"), schedule, after)]
    connection.commit()
    return found


def settle(connection: Connection, schedule: str, slot: datetime, runs: Sequence[str], reason: str) -> None:
    """Say what came of a slot: FIRED where runs were started, SKIPPED for a reason otherwise. Commits."""
    outcome = "FIRED" if runs else "SKIPPED"
    connection.execute(sql("schedules", "settle"), schedule, slot, outcome, reason, json.dumps(list(runs)))
    connection.commit()


def firings(connection: Connection, schedule: str | None = None, limit: int = 50) -> list[Firing]:
    """The newest slots, newest first."""
    rows = connection.rows(sql("schedules", "firings"), schedule, limit)
    return [
        Firing(name, slot, outcome, reason, tuple(json.loads(runs)), decided)
        for name, slot, outcome, reason, runs, decided in rows
    ]


def readable_versions(connection: Connection, datastack: str) -> int:
    """How many versions of a datastack can be read, virtual ones not counted."""
    return int(connection.value(sql("schedules", "readable_versions"), datastack))
