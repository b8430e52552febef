"""Quick looks at a neighbor: one call, no patience, and the neighbor's own clock."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import requests

from .http import HttpService

TIMEOUT = 5.0
"""Seconds: a neighbor that takes longer for a page of facts counts as down."""


@dataclass(frozen=True, slots=True)
class Glance:
    """A neighbor that answered; `now` in Unix seconds by its `Date` header, None without one."""

    now: float | None


def glance_at_graph(server: str, table: str, token: str | None) -> Glance:
    """Ask a chunkedgraph for the facts of a table. Raises GatewayUnavailable, GatewayRefused."""
    service = HttpService("chunkedgraph", server, token, timeout=TIMEOUT, retries=0)
    return Glance(_date(service.call("GET", f"/segmentation/table/{quote(table, safe='')}/info")))


def _date(response: requests.Response) -> float | None:
    try:
        return parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return None
