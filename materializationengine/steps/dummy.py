"""A workflow without data: it shows that queues, workers and ledger work together."""

from __future__ import annotations

from dataclasses import dataclass

from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Wait:
    """Let the database sleep for some seconds."""

    seconds: float


def wait(work: Work, args: Wait) -> Report:
    """Hold a worker and a connection for a while."""
    work.connection.rows("SELECT pg_sleep($1::float8)", args.seconds)
    return Report(1)
