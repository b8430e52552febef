"""Cursors: where a page ended, as an opaque text that fits one question only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from dataclasses import replace

from .errors import BadQuery
from .query import Question
from .query_plan import Key, Order, QueryPlan
from .schemas import Column, SqlType

_TID = re.compile(r"\(\d{1,10},\d{1,5}\)")
_LONGEST = 4096
_ODD = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""What PostgreSQL writes into JSON for doubles that it has no number for."""

_TYPES: dict[SqlType, type | tuple[type, ...]] = {
    SqlType.BIGINT: int,
    SqlType.INTEGER: int,
    SqlType.DOUBLE: (int, float),
    SqlType.BOOLEAN: bool,
    SqlType.TEXT: str,
}


def fingerprint(question: Question, about: str) -> str:
    """What a cursor belongs to: the question without its page, and what it is asked of."""
    bare = replace(question, limit=None, offset=0, after=None, count=False, resolution=None)
    return hashlib.sha256(f"{about} {bare!r}".encode()).hexdigest()[:16]


def write_cursor(mark: str, keys: tuple[Key, ...]) -> str:
    """The cursor of a page that ended at the row of these keys."""
    text = json.dumps([mark, *keys], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def with_cursor(plan: QueryPlan, cursor: str | None, mark: str) -> QueryPlan:
    """The plan, to go on after a cursor. Raises BadQuery for one of another question, or of none."""
    if not cursor:
        return plan
    found = _read(cursor)
    if not found or found[0] != mark:
        raise BadQuery("after: this cursor belongs to another query; ask the same question as before", field="after")
    keys = tuple(found[1:])
    if not _fit(plan, keys):
        raise BadQuery("after: this is no cursor of this service", field="after")
    if plan.has_views:
        return replace(plan, offset=plan.offset + int(keys[0] or 0))
    return replace(plan, after=(*map(_read_key, plan.order, keys), *keys[len(plan.order) :]))


def _read_key(order: Order, key: Key) -> Key:
    """A double that JSON has no number for, as the number that it is."""
    return _ODD.get(key, key) if order.column.type is SqlType.DOUBLE and isinstance(key, str) else key


def _read(cursor: str) -> list[Key]:
    try:
        if len(cursor) > _LONGEST:
            raise ValueError("too long")
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError, binascii.Error) as error:
        raise BadQuery("after: this is no cursor of this service", field="after") from error
    return found if isinstance(found, list) else []


def _fit(plan: QueryPlan, keys: tuple[Key, ...]) -> bool:
    """Whether the keys are of the types by which the plan sorts: its columns, then a place in each table.

    A page of a view begins after a number of rows.
    """
    if plan.has_views:
        return len(keys) == 1 and type(keys[0]) is int and 0 <= keys[0] < 2**40
    if len(keys) != len(plan.order) + len(plan.sources):
        return False
    values, places = keys[: len(plan.order)], keys[len(plan.order) :]
    if not all(_is(order.column, value) for order, value in zip(plan.order, values, strict=True)):
        return False
    if plan.live:
        return all(type(place) is int and abs(place) < 2**63 for place in places)
    return all(isinstance(place, str) and _TID.fullmatch(place) is not None for place in places)


def _is(column: Column, value: Key) -> bool:
    if value is None:
        return True
    if column.type is SqlType.DOUBLE and isinstance(value, str) and value in _ODD:
        return True
    if isinstance(value, bool) and column.type is not SqlType.BOOLEAN:
        return False
    if isinstance(value, int) and abs(value) >= 2**63:
        return False
    return isinstance(value, _TYPES.get(column.type, ())) and not (isinstance(value, str) and "\x00" in value)
