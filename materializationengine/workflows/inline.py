"""A run done from end to end in this process, for a script that needs neither broker nor workers."""

from __future__ import annotations

import time

from ..bootstrap import Services
from ..domain.records import RunRecord
from ..storage import ledger, run_records
from ..storage.ledger import Message
from .execute import run_unit
from .launch import launch
from .requests import RunRequest

_PAUSE = 0.2


def run_here(services: Services, request: RunRequest, owner: str) -> RunRecord:
    """Start a run and do its units one after another; returns the record when it is over.

    A worker of the same database may take units too: the ledger sees to it that each is done once. A run that was
    interrupted is taken up by any worker's sweeper. Raises what `launch` raises.
    """
    queue: list[Message] = []
    record = launch(services, request, queue.extend)
    while True:
        while queue:
            message = queue.pop(0)
            queue += run_unit(services, message.database, message.unit, owner)
        found = run_records.find_run(services.cluster, record.id, units=True)
        if found.status.over:
            return found
        time.sleep(_PAUSE)
        with services.cluster.connect(record.database, "inline run") as connection:
            queue += ledger.sweep(connection, record.database, resend=services.settings.resend)
