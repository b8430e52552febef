"""Moments: aware UTC inside, naive UTC microseconds in tables and on the wire."""

from __future__ import annotations

from datetime import UTC, datetime


def require_aware(moment: datetime) -> datetime:
    """Return `moment` in UTC; a naive moment is a programming error and raises ValueError."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(f"{moment!r} has no time zone; moments inside the engine are aware UTC")
    return moment.astimezone(UTC)


def parse(text: str) -> datetime:
    """Read an ISO 8601 moment; one without a zone counts as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def naive(moment: datetime) -> datetime:
    """The same moment as PostgreSQL `timestamp without time zone` holds it: naive UTC."""
    return require_aware(moment).replace(tzinfo=None)


def aware(moment: datetime) -> datetime:
    """A naive UTC moment read from a table, made aware."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def wire(moment: datetime) -> str:
    """Naive UTC with six microsecond digits, the only form that caveclient reads (rest_api 0.7)."""
    return naive(moment).isoformat(timespec="microseconds")


def now() -> datetime:
    """The clock. Doors (web, cli, beat) call this once and pass the moment on; steps never do."""
    return datetime.now(UTC)
