"""Record batches as a JSON array of row objects: positions stay three columns, nothing that is missing is a NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

CONTENT_TYPE = "application/json"


def encode(names: list[str], batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """The bytes of the array, batch by batch; whole numbers keep every digit."""
    opening = "["
    for texts in _texts(names, batches):
        yield (opening + ",".join(texts)).encode()
        opening = ","
    yield b"[]\n" if opening == "[" else b"]\n"


def lines(names: list[str], batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """One object on each line, batch by batch."""
    for texts in _texts(names, batches):
        yield ("\n".join(texts) + "\n").encode()


def _texts(names: list[str], batches: Iterable[pa.RecordBatch]) -> Iterator[list[str]]:
    for batch in batches:
        rows = zip(*(_values(batch.column(number)) for number in range(len(names))), strict=True)
        texts = [json.dumps(dict(zip(names, row, strict=True)), separators=(",", ":")) for row in rows]
        if texts:
            yield texts


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        # Clients read moments as milliseconds since 1970.
        return column.cast(pa.timestamp("ms", "UTC"), safe=False).cast(pa.int64()).to_pylist()
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [None if value is None or not math.isfinite(value) else value for value in values]
    return values
