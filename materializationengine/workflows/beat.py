"""Celery beat: one entry for each schedule, at its slots, and one that looks for slots that were missed.

Messages only say "look"; which slots have come is decided in PostgreSQL. So a message that is lost, late or
doubled, a second beat, and a beat that was off, change nothing in what is fired.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from celery import Task, shared_task
from celery.beat import Scheduler
from celery.schedules import BaseSchedule, schedstate

from ..config import Settings
from ..domain.errors import StorageUnavailable
from ..domain.schedule import Cron, Deed, Schedule
from ..kernel import moments
from ..kernel.columns import Connection, DriverError
from ..storage.engines import Cluster
from .firing import look
from .notices import tell_failures
from .schedules import read_schedules

log = structlog.get_logger(__name__)

TASKS = {
    Deed.MATERIALIZE: "workflow:run_periodic_materialization",
    Deed.UPDATE: "workflow:run_periodic_database_update",
    Deed.RETIRE: "workflow:run_periodic_database_removal",
}
_AHEAD = timedelta(days=8 * 366)
"""A slot lies at most so far ahead: the 29th of February, over a year that ends a century."""


class SlotSchedule(BaseSchedule):
    """Celery's view of a `Cron`, which also knows time zones; Celery's own crontab knows one for the whole beat."""

    def __init__(self, cron: Cron) -> None:
        super().__init__()
        self.cron = cron

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether a slot has come since, and the seconds to the next."""
        now = moments.now()
        due = bool(self.cron.slots(moments.aware(last_run_at), now))
        return schedstate(due, (next_slot(self.cron, now) - now).total_seconds())

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Time to the first slot after `last_run_at`."""
        return next_slot(self.cron, moments.aware(last_run_at)) - moments.now()

    def __reduce__(self) -> tuple[type[SlotSchedule], tuple[Cron]]:
        return type(self), (self.cron,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlotSchedule) and other.cron == self.cron

    def __hash__(self) -> int:
        return hash(self.cron)

    def __repr__(self) -> str:
        cron = self.cron
        sets = (cron.minutes, cron.hours, cron.weekdays, cron.days, cron.months)
        sizes = (60, 24, 7, 31, 12)
        words = ("*" if len(s) == n else ",".join(map(str, sorted(s))) for s, n in zip(sets, sizes, strict=True))
        return f"{' '.join(words)} {cron.zone}"


def next_slot(cron: Cron, after: datetime) -> datetime:
    """The first slot after a moment; far ahead where there is none (the 30th of February)."""
    span = timedelta(days=1)
    while span < _AHEAD:
        if slots := cron.slots(after, after + span):
            return slots[0]
        span *= 2
    return after + _AHEAD


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The entries of Celery beat. Raises ConfigurationError for schedules that cannot be read."""
    entries: dict[str, dict[str, Any]] = {
        each.name: {"task": TASKS[each.deed], "schedule": SlotSchedule(each.cron), "args": (each.name,)}
        for each in read_schedules(settings.beat_schedules)
    }
    if entries or settings.slack_webhook:
        entries["missed slots"] = {"task": "workflow:look_for_missed_slots", "schedule": settings.beat_every}
    return entries


def look_at(task: Task, name: str) -> list[str]:
    """Decide the slots of one schedule that have come; called by the task of each deed."""
    app = task.app
    named = {each.name: each for each in _schedules(app.settings)}
    # A beat with other settings than this worker's may name a schedule that is gone.
    return look(app.services, named[name], app.send, moments.now()) if name in named else []


def _schedules(settings: Settings) -> tuple[Schedule, ...]:
    return read_schedules(settings.beat_schedules)


@shared_task(name="workflow:look_for_missed_slots", bind=True)
def look_for_missed_slots(self: Task) -> list[str]:
    """Fire what a beat, a broker or a worker that was off has missed, and tell of failed runs that nobody told of."""
    app = self.app
    tell_failures(app.services)
    return [run for each in _schedules(app.settings) for run in look(app.services, each, app.send, moments.now())]


class TickingScheduler(Scheduler):
    """Celery's scheduler. At each tick it uses a connection of its own: its age there is that of the last tick."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self.app.settings
        self._cluster = Cluster(settings.database_url, application="matengine beat", lock_timeout=settings.lock_timeout)
        self._there: Connection | None = None

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, then show it; seconds to the next tick."""
        wait: float = super().tick(*args, **kwargs)
        try:
            self._show()
        except (DriverError, StorageUnavailable) as error:
            self._there = None
            log.warning("beat ticks, but the database does not see it", error=str(error))
        return wait

    def _show(self) -> None:
        if self._there is None:
            self._there = self._cluster.connect()
        self._there.rows("SELECT 1")
        self._there.commit()

    def close(self) -> None:
        """End the connection with the clock."""
        if self._there is not None:
            self._there.close()
            self._there = None
        super().close()
