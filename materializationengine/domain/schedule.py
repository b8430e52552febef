"""Schedules as data, and the slots they name: what CAVE's `BEAT_SCHEDULES` holds, and a time zone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

ALL_HOURS = frozenset(range(24))


class Deed(StrEnum):
    """What a schedule starts; the value is CAVE's word for the task."""

    MATERIALIZE = "run_periodic_materialization"
    UPDATE = "run_periodic_database_update"
    RETIRE = "remove_expired_databases"


class ExpiryClass(StrEnum):
    """How long a version of a schedule lives: days counted from the moment the schedule fires."""

    SHORT = "short"
    WEEK = "week"
    LONG_TERM = "long-term"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Cron:
    """Sets of minutes, hours, days and months; a moment is meant when all five hold it (as Celery reads them).

    Weekdays count from Sunday, 0, to Saturday, 6. `zone` is the name of a time zone.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    weekdays: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    zone: str = "UTC"

    def slots(self, after: datetime, until: datetime) -> list[datetime]:
        """The slots in (after, until], ascending, in UTC.

        A local time that the clocks skip in spring is meant an hour later; one that comes twice in autumn is meant
        the first time only, except where every hour is meant.
        """
        zone = ZoneInfo(self.zone)
        first, last = after.astimezone(zone).date(), until.astimezone(zone).date()
        found = {slot for day in _days(first - timedelta(1), last) if self._means(day) for slot in self._of(day, zone)}
        return sorted(slot for slot in found if after < slot <= until)

    def _means(self, day: date) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def _of(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        folds = (0, 1) if self.hours == ALL_HOURS else (0,)
        for hour in self.hours:
            for minute in self.minutes:
                for fold in folds:
                    yield datetime.combine(day, time(hour, minute, fold=fold), zone).astimezone(UTC)


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """One entry: when, what, and of which datastack; without one it is of all.

    `days_to_expire` wins over `expires`; `keep` newest versions survive a retirement.
    """

    name: str
    deed: Deed
    cron: Cron
    datastack: str | None = None
    days_to_expire: int | None = None
    expires: ExpiryClass = ExpiryClass.SHORT
    merge_tables: bool = False
    keep: int | None = None

    @property
    def days(self) -> int:
        """Days that a version lives, 0 for ever."""
        return _DAYS[self.expires] if self.days_to_expire is None else self.days_to_expire


_DAYS = {ExpiryClass.SHORT: 2, ExpiryClass.WEEK: 7, ExpiryClass.LONG_TERM: 30, ExpiryClass.NEVER: 0}


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at the clock found: the slot to fire, and earlier ones with why they are not."""

    fire: datetime | None = None
    skipped: tuple[tuple[datetime, str], ...] = field(default=())


def due(cron: Cron, last: datetime, now: datetime, grace: float) -> Due:
    """The slots since the last one that was decided: the newest is fired, missed ones before it are not caught up.

    A newest slot that is more than `grace` seconds old is not fired either.
    """
    slots = cron.slots(last, now)
    if not slots:
        return Due()
    *missed, newest = slots
    skipped = [(slot, f"missed; the slot of {newest.isoformat()} was fired in its place") for slot in missed]
    if (now - newest).total_seconds() <= grace:
        return Due(newest, tuple(skipped))
    late = f"missed by more than {grace:g} s (MATERIALIZATION_BEAT_GRACE)"
    return Due(None, tuple((slot, late) for slot in (*missed, newest)))


Fields = dict[str, Any]
CRON_FIELDS: Sequence[str] = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
"""CAVE's names of the five; each is a number, a text of Celery's crontab, or a list of numbers. Default: `*`."""
