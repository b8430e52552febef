"""Headers of an answer to a query (rest_api 1.0, 2.4)."""

from __future__ import annotations

import json

from flask import Response

from ...domain.datastack import Resolution
from ...domain.query_plan import QueryPlan

ROW_LIMIT = "X-Row-Limit"
"""Rows after which the service's own cap has cut the answer; absent from a whole answer."""


NEXT_CURSOR = "X-Next-Cursor"
"""What to send as `after` for the next page; absent from the last one."""

ANSWERED_FROM = "X-Answered-From"
"""`live` where a version's database is gone, so that its rows come from the live tables."""

_LONGEST = 4000
"""Letters of one warning: clients give up on a header of 64 kB, and with it on the whole answer."""


def describe(response: Response, plan: QueryPlan) -> Response:
    """Say what the columns are called and in which units positions are."""
    response.headers["dataframe_resolution"] = resolution(plan.resolution)
    names = {table: dict(columns) for table, columns in plan.names.items()}
    # Clients keep this text as it is; it has always been a Python literal. The JSON is for everybody else.
    # A header has no letters beyond Latin-1, and names may.
    response.headers["column_names"] = ascii(names)
    response.headers["X-Column-Names"] = json.dumps(names)
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response


def resolution(units: Resolution) -> str:
    """The one format that the client splits, at comma and space."""
    return ", ".join(repr(float(unit)) for unit in units)


def warn(response: Response, texts: list[str]) -> Response:
    """One `Warning` line for each text."""
    for text in texts:
        short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
        plain = "".join(letter if 31 < ord(letter) < 127 and letter not in '"\\' else " " for letter in short)
        response.headers.add("Warning", f'299 - "{plain}"')
    return response


def cap(response: Response, limit: int) -> Response:
    """Say that the answer was cut."""
    response.headers[ROW_LIMIT] = str(limit)
    response.headers.add("Warning", f'201 - "Limited query to {limit} rows"')
    return response
