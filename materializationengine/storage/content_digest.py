"""The digest of a frozen table that its readers can recompute from the rows they get.

It is made of the answer to a query for the whole table, in the table's own resolution, positions as three columns.
Each row is written in PostgreSQL's binary form of a record: the number of columns, and for each its type, its length
(-1 for a missing value) and its bytes, all big endian. The SHA-256 of every row is read as four unsigned 64-bit
numbers, and these are summed up modulo 2^64, each by itself: order does not matter, a row that stands twice does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..domain.query import Question
from ..domain.query_plan import Source, resolve
from ..kernel.columns import Connection
from . import query_sql
from .sql import quote, sql

FACT = "content"
"""Under which name a table's digest stands among what its verification found."""


@dataclass(frozen=True, slots=True)
class Content:
    """Rows and digest of a table, as its readers see it."""

    rows: int
    digest: str


def content(connection: Connection, source: Source, moment: datetime) -> Content:
    """Reads the whole table once."""
    plan = resolve(Question((source.name,)), [source])
    columns = ", ".join(f"a.{quote(output.name)}" for output in plan.outputs)
    found = connection.one(sql("content", "digest", columns=columns, select=query_sql.select(plan, moment)))
    rows, *words = found or (0, "0", "0", "0", "0")
    return Content(rows, "".join(f"{int(word) % (1 << 64):016x}" for word in words))
