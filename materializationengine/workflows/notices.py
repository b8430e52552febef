"""Failed runs are told once each to whoever set `SLACK_WEBHOOK`."""

from __future__ import annotations

import structlog

from ..bootstrap import Services
from ..domain.errors import GatewayAnswer, GatewayRefused, NeighborDown
from ..gateways.webhook import post_text
from ..storage import notices
from ..storage.live_database import live_databases

log = structlog.get_logger(__name__)


def tell_failures(services: Services, database: str | None = None) -> int:
    """Tell of failed runs that nobody was told of, in one live database or in all; returns how many.

    A notice that does not get through is tried again at the next look, for a day.
    """
    url = services.settings.slack_webhook
    if not url:
        return 0
    databases = live_databases(services.cluster) if database is None else (database,)
    return sum(_tell(services, url, each) for each in databases)


def _tell(services: Services, url: str, database: str) -> int:
    told = 0
    with services.cluster.connect(database, "notices") as connection:
        for failure in notices.claim(connection):
            try:
                post_text(url, failure.text)
                told += 1
            except (NeighborDown, GatewayRefused, GatewayAnswer) as error:
                log.warning("notice did not get through", run=failure.run_id, error=error.message)
                notices.give_back(connection, failure.run_id)
    return told
