"""Answers in the media type that a caller accepts: Arrow, Parquet, CSV, JSON rows; all of them streams."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from werkzeug.datastructures import MIMEAccept

from . import arrow, rows

ARROW_STREAM = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
OLD_PARQUET = "application/x-parquet"
CSV = "text/csv"
NDJSON = "application/x-ndjson"
JSON = rows.CONTENT_TYPE
DEFAULT = arrow.CONTENT_TYPE
"""What a caller gets who accepts anything: the one form that `caveclient` reads."""

OFFERED = (ARROW_STREAM, PARQUET, OLD_PARQUET, CSV, NDJSON, JSON)
_TEXTS = (CSV, NDJSON, JSON)
_ROW_GROUP = 1 << 17


def chosen(accept: MIMEAccept) -> str | None:
    """The media type to answer with; None where nothing that is accepted is offered."""
    named = [kind.partition(";")[0] for kind, quality in accept if quality > 0]
    found = next((kind for kind in named if kind in OFFERED), None)
    if found is not None:
        return found
    anything = not accept or any(kind in named for kind in ("*/*", "application/*", DEFAULT))
    return DEFAULT if anything else None


def encode(kind: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], codec: str | None) -> Iterator[bytes]:
    """The bytes of an answer, as soon as each batch is there. `codec` is for Arrow only."""
    if kind in (DEFAULT, ARROW_STREAM):
        return arrow.encode(schema, batches, codec)
    if kind in (PARQUET, OLD_PARQUET):
        return _parquet(schema, batches)
    if kind == CSV:
        return _csv(schema, batches)
    return rows.lines(schema.names, batches) if kind == NDJSON else rows.encode(schema.names, batches)


def is_text(kind: str) -> bool:
    """Whether gzip around the whole answer is worth its time."""
    return kind in _TEXTS


def gzipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    """A stream in gzip, at the speed rather than the size."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    for part in parts:
        if packed := packer.compress(part):
            yield packed
    yield packer.flush()


def _parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    drain = arrow.Drain()
    with pa.parquet.ParquetWriter(drain, schema, compression="zstd") as writer:
        for group in _groups(schema, batches):
            writer.write_table(group)
            yield from drain.taken()
    yield from drain.taken()


def _groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Row groups of a sensible size: a file of tiny ones is slow to read."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(arrow.typed(schema, batch))
        if sum(each.num_rows for each in held) >= _ROW_GROUP:
            yield pa.Table.from_batches(held, schema)
            held = []
    if held:
        yield pa.Table.from_batches(held, schema)


def _csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    drain = arrow.Drain()
    with pa.csv.CSVWriter(drain, schema) as writer:
        yield from drain.taken()
        for batch in batches:
            writer.write_batch(arrow.typed(schema, batch))
            yield from drain.taken()
    yield from drain.taken()
