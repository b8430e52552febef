"""Moments are integers inside: milliseconds since 1970 in UTC, the resolution at which a chunkedgraph keeps
time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation

from localcave.errors import BadRequest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
FIRST_MS = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MILLISECOND
LAST_MS = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MILLISECOND


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


def from_iso(text: str) -> int:
    """Return the moment an ISO 8601 text names, floored to milliseconds; text without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise BadRequest(f"{text!r} is no ISO 8601 date, such as 2026-01-15T00:00:00+00:00") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // MILLISECOND


def from_seconds(text: str) -> int:
    """Return the moment of a number of unix seconds written as text, floored to milliseconds.

    Read as a decimal, so that no binary fraction pushes a moment over the edge of its millisecond.
    """
    try:
        moment = int((Decimal(text) * 1000).to_integral_value(ROUND_FLOOR))
    except (InvalidOperation, ValueError, OverflowError):
        raise BadRequest(f"timestamp {text!r} is no number of unix seconds") from None
    if not FIRST_MS <= moment <= LAST_MS:
        raise BadRequest(f"timestamp {text!r} lies outside of the years 1 to 9999")
    return moment


def to_datetime(moment_ms: int) -> datetime:
    """Return the aware UTC datetime of a moment."""
    return EPOCH + moment_ms * MILLISECOND


def to_seconds(moment_ms: int) -> float:
    """Return unix seconds, as the wire carries them."""
    return moment_ms / 1000
