"""Moments of the survey: UTC in the tables' time columns, TAI as a modified Julian date in `midPointTai`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from .records import naive_utc

_MJD_ZERO: Final = datetime(1858, 11, 17)
_DAY: Final = timedelta(days=1)

# TAI minus UTC in seconds from each day on (IERS Bulletin C); 1999 is early enough for LSST, which began later.
_LEAP_SECONDS: Final = (
    (datetime(2017, 1, 1), 37),
    (datetime(2015, 7, 1), 36),
    (datetime(2012, 7, 1), 35),
    (datetime(2009, 1, 1), 34),
    (datetime(2006, 1, 1), 33),
    (datetime.min, 32),
)


def mjd_tai(moment: datetime) -> float:
    """The modified Julian date, TAI, of a moment in UTC; exact to a microsecond or so from 1999 on."""
    utc = naive_utc(moment)
    seconds = next(offset for since, offset in _LEAP_SECONDS if utc >= since)
    return (utc + timedelta(seconds=seconds) - _MJD_ZERO) / _DAY


def month_of(mjd: float) -> datetime:
    """The first moment of the calendar month that holds a modified Julian date; both in the same time scale."""
    return (_MJD_ZERO + timedelta(days=mjd)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def mjd(moment: datetime) -> float:
    """The modified Julian date of a naive moment, in its own time scale."""
    return (moment - _MJD_ZERO) / _DAY


def next_month(first: datetime) -> datetime:
    """The first moment of the month after the one that begins at `first`."""
    return (first + timedelta(days=32)).replace(day=1)


def literal(moment: datetime) -> str:
    """The moment as an SQL literal that every backend takes."""
    return f"'{naive_utc(moment).isoformat(sep=' ', timespec='microseconds')}'"


def parse_moment(text: str) -> datetime:
    """Read ISO 8601, or `YYYY-MM-DD hh:mm:ss`, as naive UTC. Raises ValueError."""
    return naive_utc(datetime.fromisoformat(text.strip()))
