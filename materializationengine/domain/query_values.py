"""The value of a filter, checked against the type of its column; ids stay whole numbers to the last digit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..kernel import moments
from .errors import BadQuery
from .query import Comparison, Filter
from .schemas import Column, SqlType

MAX_REGEX = 500
"""Characters of a regular expression; a longer one is a mistake or an attack."""

_INTEGERS = frozenset({SqlType.BIGINT, SqlType.INTEGER})
_ORDERS = frozenset({Comparison.GREATER, Comparison.LESS, Comparison.GREATER_EQUAL, Comparison.LESS_EQUAL})
_UP = frozenset({Comparison.LESS, Comparison.GREATER_EQUAL})
"""Comparisons in which a fractional bound of a whole number is rounded up; in the others it is rounded down."""

_EXACT = 2.0**53


@dataclass(frozen=True, slots=True)
class Box:
    """A closed box in the units of the table, corners (x, y, z)."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


Scalar = int | float | bool | str | datetime
Value = Scalar | tuple[Scalar, ...] | Box


def check(asked: Filter, column: Column) -> Value:
    """The value to compare `column` with. Raises BadQuery naming the field, and what would be right."""
    if asked.comparison is Comparison.NULL:
        return _boolean(asked, asked.value)
    if asked.comparison is Comparison.INSIDE:
        return _box(asked, column)
    if column.type is SqlType.POINTZ:
        raise _refusal(asked, "is a position; filter_spatial_dict takes a box for it")
    if asked.comparison is Comparison.REGEX:
        return _regex(asked, column)
    if asked.comparison in (Comparison.IN, Comparison.NOT_IN):
        return _list(asked, column)
    return _scalar(asked, column, asked.value)


def _refusal(asked: Filter, reason: str) -> BadQuery:
    place = f"{asked.field}.{asked.table}.{asked.column}"
    return BadQuery(f"{place}: {asked.column} {reason}", field=place)


def _list(asked: Filter, column: Column) -> tuple[Scalar, ...]:
    if not isinstance(asked.value, list | tuple):
        raise _refusal(asked, f"needs a list here, not {_shown(asked.value)}")
    return tuple(_scalar(asked, column, value) for value in asked.value)


def _scalar(asked: Filter, column: Column, value: Any) -> Scalar:
    if column.type in _INTEGERS:
        return _integer(asked, value)
    if column.type is SqlType.BOOLEAN and asked.comparison in _ORDERS:
        raise _refusal(asked, "is true or false, which has no order; use filter_equal_dict")
    check_type = _CHECKS.get(column.type)
    if check_type is None:
        raise _refusal(asked, "cannot be filtered")
    return check_type(asked, value)


def _integer(asked: Filter, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal(asked, f"needs a whole number, not {_shown(value)}")
    whole = _whole(asked, value) if isinstance(value, float) else value
    if not -(2**63) <= whole < 2**63:
        raise _refusal(asked, f"needs a whole number of 64 bits with a sign, not {_shown(value)}")
    return whole


def _whole(asked: Filter, value: float) -> int:
    """A float that means a whole number; as a bound of an order it may have a fraction."""
    if not math.isfinite(value) or abs(value) > _EXACT:
        raise _refusal(asked, f"needs a whole number; the float {value!r} may have lost its last digits")
    if value.is_integer():
        return int(value)
    if asked.comparison not in _ORDERS:
        raise _refusal(asked, f"holds whole numbers, and never {value!r}")
    return math.ceil(value) if asked.comparison in _UP else math.floor(value)


def _number(asked: Filter, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal(asked, f"needs a number, not {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _refusal(asked, f"needs a finite number, not {_shown(value)}")
    return number


def _boolean(asked: Filter, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refusal(asked, f"needs true or false here, not {_shown(value)}")
    return value


def _text(asked: Filter, value: Any) -> str:
    if not isinstance(value, str):
        raise _refusal(asked, f"needs a text, not {_shown(value)}")
    if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _refusal(asked, "never holds a zero character or half of a surrogate pair")
    return value


def _moment(asked: Filter, value: Any) -> datetime:
    try:
        return moments.parse(value)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise _refusal(asked, f"needs a moment like 2026-01-31T12:00:00+00:00, not {_shown(value)}") from error


_CHECKS: dict[SqlType, Callable[[Filter, Any], Scalar]] = {
    SqlType.DOUBLE: _number,
    SqlType.BOOLEAN: _boolean,
    SqlType.TEXT: _text,
    SqlType.TIMESTAMP: _moment,
}


def _regex(asked: Filter, column: Column) -> str:
    if column.type is not SqlType.TEXT:
        raise _refusal(asked, "is not a text, so no regular expression fits it")
    pattern = _text(asked, asked.value)
    if len(pattern) > MAX_REGEX:
        raise _refusal(asked, f"takes a regular expression of at most {MAX_REGEX} characters")
    return pattern


def _box(asked: Filter, column: Column) -> Box:
    if column.type is not SqlType.POINTZ:
        raise _refusal(asked, "is not a position, so no box can hold it")
    corners = asked.value
    if not isinstance(corners, list | tuple) or [_length(corner) for corner in corners] != [3, 3]:
        raise _refusal(asked, "needs a box [[min_x, min_y, min_z], [max_x, max_y, max_z]]")
    low, high = (tuple(_number(asked, value) for value in corner) for corner in corners)
    if any(a > b for a, b in zip(low, high, strict=True)):
        raise _refusal(asked, f"has an empty box: a minimum of {list(low)} is above its maximum of {list(high)}")
    return Box(low, high)  # type: ignore[arg-type]


def _length(value: object) -> int:
    return len(value) if isinstance(value, list | tuple) else -1


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
