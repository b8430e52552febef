"""What the workers and the broker tell of themselves. The truth about runs stands in the ledger, not here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.exceptions import OperationalError

from ..domain.errors import GatewayUnavailable
from .celery_app import EngineCelery

_PATIENCE = 1.0
"""Seconds for which workers may answer."""


def queue_length(celery: EngineCelery, queue: str) -> int:
    """Messages that wait in a queue. Raises GatewayUnavailable where the broker is down."""
    with _connected(celery) as connection:
        return int(connection.default_channel.queue_declare(queue, passive=False).message_count)


def active_tasks(celery: EngineCelery) -> dict[str, Any] | None:
    """Tasks in the hands of each worker, None where no worker answers."""
    return _inspect(celery, "active")


def workers(celery: EngineCelery) -> dict[str, Any]:
    """What every worker tells of itself, under the names that CAVE gives them."""
    return {
        "availability": _inspect(celery, "ping"),
        "stats": _inspect(celery, "stats"),
        "registered_tasks": _inspect(celery, "registered"),
        "active_tasks": _inspect(celery, "active"),
        "scheduled_tasks": _inspect(celery, "scheduled"),
    }


def _inspect(celery: EngineCelery, question: str) -> dict[str, Any] | None:
    # Celery's own connection would try for minutes before it says that nobody is there.
    with _connected(celery) as connection:
        answer: dict[str, Any] | None = getattr(
            celery.control.inspect(timeout=_PATIENCE, connection=connection), question
        )()
    return answer


@contextmanager
def _connected(celery: EngineCelery) -> Iterator[Any]:
    try:
        with celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
            yield connection
    except OperationalError as error:
        raise GatewayUnavailable(f"the broker does not answer: {error}") from error
