"""Values as SQL text.

An answer streams out of PostgreSQL through COPY, which takes no parameters: with `$n` the driver gathers the whole
answer in memory first (a million rows of four columns: 146 MB and 1.2 s to the first row, against 33 MB and 5 ms).
So the values of a query, which `domain.query_values` has checked and typed, are written into its text, here only.

A statement of a short answer may be planned once for all values instead: then these are kept apart from its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime

from ..kernel import moments

Scalar = int | float | bool | str | datetime


@dataclass(slots=True)
class Apart:
    """Values in the order of their places `$1`, `$2`, ..., and the type of each."""

    values: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)

    def put(self, text: str, kind: str) -> str:
        """The place of a value."""
        self.values.append(text)
        self.types.append(kind)
        return f"${len(self.values)}"


_APART: ContextVar[Apart | None] = ContextVar("apart", default=None)


@contextmanager
def apart() -> Iterator[Apart]:
    """Keep the values of what is written inside apart from its text."""
    held = Apart()
    token = _APART.set(held)
    try:
        yield held
    finally:
        _APART.reset(token)


def _typed(text: str, kind: str) -> str:
    held = _APART.get()
    return f"{text}::{kind}" if held is None else held.put(text, kind)


def scalar(value: Scalar) -> str:
    """One value with its type; texts take whatever stands in them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _typed(f"'{value}'", "bigint")
    if isinstance(value, float):
        return _typed(f"'{value!r}'", "float8")
    if isinstance(value, datetime):
        return timestamp(value)
    return _typed(escaped(value), "text")


def array(values: tuple[Scalar, ...], kind: str) -> str:
    """A list of values of one PostgreSQL type, as one array; its length costs no planning time."""
    if values and isinstance(values[0], str):
        body = ", ".join(escaped(str(value)) for value in values)
        return _typed(f"ARRAY[{body}]", f"{kind}[]")
    # Thousands of ids are common, so these take the short way.
    texts = map(str, values) if values and type(values[0]) is int else map(_element, values)
    return listed(texts, kind)


def listed(texts: Iterable[str], kind: str) -> str:
    """The same of elements as PostgreSQL writes them in an array."""
    return _typed("'{" + ",".join(texts) + "}'", f"{kind}[]")


def _element(value: Scalar) -> str:
    if isinstance(value, datetime):
        return f'"{moments.naive(value).isoformat(sep=" ")}"'
    return repr(value) if isinstance(value, float) else str(value).lower()


def escaped(text: str) -> str:
    """A text in the form that means the same whatever `standard_conforming_strings` says."""
    body = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{body}'"


def timestamp(moment: datetime) -> str:
    """A moment as the tables hold it: naive UTC microseconds."""
    text, held = f"timestamp '{moments.naive(moment).isoformat(sep=' ')}'", _APART.get()
    return text if held is None else held.put(text, "timestamp")
