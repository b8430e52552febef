"""The digest of a frozen table that its readers can recompute from the rows they get.

It is made of the answer to a query for the whole table, in the table's own resolution, positions as three columns.
Each row is written in PostgreSQL's binary form of a record: the number of columns, and for each its type, its length
(-1 for a missing value) and its bytes, all big endian. The SHA-256 of every row is read as four unsigned 64-bit
numbers, and these are summed up modulo 2^64, each by itself: order does not matter, a row that stands twice does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import numpy as np
import pyarrow as pa

from ..domain.query import Question
from ..domain.query_plan import Source, resolve
from ..kernel.columns import Connection
from . import query_sql
from .sql import quote, sql

FACT = "content"
"""Under which name a table's digest stands among what its verification found."""


_BATCH_BYTES = 1 << 20
"""A few thousand records: as Python objects they take twice their bytes, in every thread that reads a part."""

WHOLE = (0, 1)
"""The only part of a table that is not divided."""


@dataclass(frozen=True, slots=True)
class Content:
    """Rows of a table or of a part of it, as its readers see it, and the sums of their four words modulo 2^64."""

    rows: int
    words: tuple[int, ...]

    @property
    def digest(self) -> str:
        """The four sums as 64 hexadecimal digits."""
        return "".join(f"{word:016x}" for word in self.words)

    def __add__(self, other: Content) -> Content:
        return Content(self.rows + other.rows, tuple(_sum(*pair) for pair in zip(self.words, other.words, strict=True)))


def content(connection: Connection, source: Source, moment: datetime, part: tuple[int, int] = WHOLE) -> Content:
    """Reads the whole table once, or of n parts (k, n) the rows whose id leaves k; parts add up to the whole."""
    plan = resolve(Question((source.name,)), [source])
    columns = ", ".join(f"a.{quote(output.name)}" for output in plan.outputs)
    kept = "true" if part == WHOLE else f"abs(a.id % {part[1]}) = {part[0]}"
    found = Content(0, (0, 0, 0, 0))
    select = query_sql.select(plan, moment)
    records = sql("content", "records", columns=columns, select=select, part=kept)
    with connection.batches(records, batch_bytes=_BATCH_BYTES) as batches:
        for batch in batches:
            found += _of(batch.column(0))
    return found


def _of(records: pa.BinaryArray) -> Content:
    digests = b"".join([sha256(record).digest() for record in records.to_pylist()])
    words = np.frombuffer(digests, ">u8").reshape(-1, 4).sum(axis=0, dtype=np.uint64)
    return Content(len(records), tuple(int(word) for word in words))


def _sum(*words: int) -> int:
    return sum(words) % (1 << 64)
