"""Requests that may come twice: the key, the request's digest and the answer are kept in the deed's own transaction."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..domain.errors import KeyReused, StorageUnavailable
from ..kernel.columns import Connection, DriverError, sqlstate
from .sql import sql

Answer = TypeVar("Answer")

KEPT_DAYS = 7
"""Days for which an answer is kept; whoever tries again later means something new."""

_LOCK_TIMEOUT = "55P03"


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's key, and a digest of the request that it came with."""

    user: str
    key: str
    digest: str


def once(connection: Connection, key: Key | None, deed: Callable[[], Answer]) -> tuple[Answer, bool]:
    """What `deed` gives, or gave when the key first came, and whether it was then; the caller commits.

    Answers are JSON. Raises KeyReused, and StorageUnavailable where a twin holds the key for too long.
    """
    if key is None:
        return deed(), False
    earlier = _take(connection, key)
    if earlier is not None:
        return json.loads(earlier), True
    answer = deed()
    connection.execute(sql("idempotency", "keep"), key.user, key.key, json.dumps(answer))
    return answer, False


def _take(connection: Connection, key: Key) -> str | None:
    """The earlier answer as JSON; None for a key that is new, and now held by this transaction."""
    connection.execute(sql("idempotency", "forget"), KEPT_DAYS)
    if _first(connection, key):
        return None
    found: tuple[Any, ...] | None = connection.one(sql("idempotency", "first"), key.user, key.key)
    if found is None:
        raise StorageUnavailable("the request that first used this key has just ended; try again", retry_after=1.0)
    digest, answer = found
    if digest != key.digest:
        raise KeyReused(f"Idempotency-Key: {key.key!r} came before with another request", field="Idempotency-Key")
    return str(answer)


def _first(connection: Connection, key: Key) -> bool:
    try:
        return connection.one(sql("idempotency", "take"), key.user, key.key, key.digest) is not None
    except DriverError as error:
        if sqlstate(error) == _LOCK_TIMEOUT:
            told = "the same request is still under way; try again"
            raise StorageUnavailable(told, retry_after=5.0) from error
        raise
