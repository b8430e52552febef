"""The Celery application of a worker that dies by SIGKILL where it is told to, once for each place.

`CRASH_AT` lists places `POINT ACTION` (in whatever workflow it comes first) or `POINT ACTION KIND`, where POINT is
`claimed` (before the deed), `worked` (after it, before the commit) or `committed` (after the commit, before the
messages). `CRASH_ALL` takes the whole worker along, not only the child. A marker file in `CRASH_FOLDER` keeps a place
from being met twice.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from materializationengine.config import Settings
from materializationengine.workflows import execute
from materializationengine.workflows.celery_app import create_celery

PLACES = set(filter(None, os.environ.pop("CRASH_AT", "").split(",")))
FOLDER = Path(os.environ.pop("CRASH_FOLDER", "."))
WHOLE_WORKER = os.environ.pop("CRASH_ALL", "") == "true"


def crash(point: str, action: str, kind: str) -> None:
    """Die here, unless that was done before."""
    for place in (f"{point} {action}", f"{point} {action} {kind}"):
        marker = FOLDER / place
        if place in PLACES and not marker.exists():
            marker.touch()
            if WHOLE_WORKER:
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


def wrap() -> None:
    """Put the three places around the deed."""
    perform, due = execute.perform, execute.ledger.due
    last: list[tuple[str, str]] = []

    def crashing(work: Any, spec: Any) -> Any:
        last[:] = [(spec.action, str(work.plan.kind))]
        crash("claimed", *last[0])
        report = perform(work, spec)
        crash("worked", *last[0])
        return report

    def crashing_due(*args: Any, **kwargs: Any) -> Any:
        if last:
            crash("committed", *last.pop())
        return due(*args, **kwargs)

    execute.perform = crashing
    execute.ledger.due = crashing_due


wrap()
celery = create_celery(Settings.from_env(os.environ))
