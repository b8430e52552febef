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
    for batch in batches:
        rows = zip(*(_values(batch.column(number)) for number in range(len(names))), strict=True)
        for row in rows:
            yield (opening + json.dumps(dict(zip(names, row, strict=True)), separators=(",", ":"))).encode()
            opening = ","
    yield b"[]\n" if opening == "[" else b"]\n"


def _values(column: pa.Array) -> list[Any]:
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [None if value is None or not math.isfinite(value) else value for value in values]
    return values
