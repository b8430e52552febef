"""A workflow without data: it shows that queues, workers and ledger work together."""

from __future__ import annotations

from dataclasses import dataclass

from ..storage.run_control import hold
from .work import Report, Work


@dataclass(frozen=True, slots=True)
class Wait:
    """Let the database sleep for some seconds."""

    seconds: float


def wait(work: Work, args: Wait) -> Report:
    """Hold a worker and a connection for a while."""
    hold(work.connection, args.seconds)
    return Report(1)
