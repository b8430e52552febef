"""The look for lost work: over every live database, cheap enough to be done every few seconds."""

from __future__ import annotations

from ..bootstrap import Services
from ..storage import janitor, ledger
from ..storage.ledger import Message
from ..storage.live_database import live_databases


def sweep(services: Services, *, resend: float) -> list[Message]:
    """Free units whose worker is gone, and say which messages to send again; drop what ended runs left."""
    found: list[Message] = []
    for database in live_databases(services.cluster):
        with services.cluster.connect(database, "sweep") as connection:
            found += ledger.sweep(connection, database, resend=resend)
        janitor.clean(services.cluster, database)
    return found
