"""How often one user may ask, in CAVE's words: by category of routes, and otherwise for service accounts.

All processes count together in Redis. While it is away each counts for itself and asks again every few seconds, so
that losing Redis neither shuts the service nor opens it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

from ..config import Settings
from ..domain.errors import ConfigurationError, TooManyRequests

log = structlog.get_logger(__name__)

CATEGORIES = ("query", "fast_query", "write")
"""Questions of rows; everything else that only reads; whatever writes or starts work."""

CAVES_NAMES = {"LiveTableQuery": "query_moment"}
"""What CAVE calls an endpoint of its overrides, and what ours is called."""

ABSENT = 5.0
"""Seconds until a Redis that was away is asked again."""

_PATIENCE = 0.5
"""Seconds that Redis has to answer."""

Limits = tuple[RateLimitItem, ...]


@dataclass(frozen=True, slots=True)
class Rates:
    """What the settings say: limits by category for people and for service accounts, for these by endpoint too."""

    people: Mapping[str, Limits] = field(default_factory=dict)
    services: Mapping[str, Limits] = field(default_factory=dict)
    overrides: Mapping[str, Limits] = field(default_factory=dict)

    @classmethod
    def read(cls, settings: Settings) -> Rates:
        """Raises ConfigurationError for what is no JSON object of names and limits like `30/minute`."""
        named = {CAVES_NAMES.get(name, name): limits for name, limits in _read("SERVICE_ACCOUNT_OVERRIDES", settings)}
        found = cls(dict(_read("CATEGORIES", settings)), dict(_read("SERVICE_ACCOUNT_CATEGORIES", settings)), named)
        for name in (*found.people, *found.services):
            if name not in CATEGORIES:
                raise ConfigurationError(f"LIMITER_CATEGORIES: {name!r} is none of {', '.join(CATEGORIES)}")
        return found

    def of(self, category: str, endpoint: str, service_account: bool) -> Limits:
        """What holds for a request; () for no limit. A service account without limits of its own has a person's."""
        person = self.people.get(category, ())
        if not service_account:
            return person
        return self.overrides.get(endpoint, self.services.get(category, person))


def _read(name: str, settings: Settings) -> list[tuple[str, Limits]]:
    text = getattr(settings, f"limiter_{name.lower()}")
    told = f"LIMITER_{name}: a JSON object of names and limits like 30/minute or 5/second;200/hour"
    if not text:
        return []
    try:
        found = json.loads(text)
        return [(str(key), tuple(parse_many(value))) for key, value in found.items()]
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(f"{told}: {error}", field=f"LIMITER_{name}") from error


class Counter:
    """Counts requests of users against limits."""

    def __init__(self, uri: str) -> None:
        own = storage_from_string(uri, wrap_exceptions=True, **_options(uri))
        self._shared = MovingWindowRateLimiter(own)
        self._alone = MovingWindowRateLimiter(MemoryStorage())
        self._back = 0.0

    def count(self, limits: Limits, user: int, endpoint: str) -> None:
        """Raises TooManyRequests where one of the limits is reached."""
        for limit in limits:
            left = self._wait(limit, str(user), endpoint)
            if left:
                told = f"{endpoint} may be asked {limit} by one user; come back in {left} s"
                raise TooManyRequests(told, retry_after=left)

    def _wait(self, limit: RateLimitItem, *who: str) -> int:
        """Seconds to wait; 0 for a request that is counted and may pass."""
        if time.monotonic() >= self._back:
            try:
                return _hit(self._shared, limit, *who)
            except StorageError as error:
                log.warning("no shared count of requests; this process counts alone", error=str(error))
                self._back = time.monotonic() + ABSENT
        return _hit(self._alone, limit, *who)


def _hit(counter: MovingWindowRateLimiter, limit: RateLimitItem, *who: str) -> int:
    if counter.hit(limit, *who):
        return 0
    return max(1, math.ceil(counter.get_window_stats(limit, *who).reset_time - time.time()))


def _options(uri: str) -> dict[str, float | str | bool]:
    if not uri.startswith("redis"):
        return {}
    return {"socket_connect_timeout": _PATIENCE, "socket_timeout": _PATIENCE, "key_prefix": "matengine:rate"}
